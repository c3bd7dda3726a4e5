"""The words of a message as keyed hashes: messages are found by them, and the index does not reveal them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Final

from app.storage.cipher import Cipher

# Written without spaces between words: indexed by pairs of neighbours.
_UNSPACED: Final = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_RUN: Final = re.compile(rf"([{_UNSPACED}]+)|[^\W_{_UNSPACED}]+")
# Of a longer text only so many different words are found; one message must not fill the index.
_MOST: Final = 1000
_PURPOSE: Final = b"words"


def normal(text: str) -> str:
    """The form in which texts are compared: width, case and composition do not count."""
    return unicodedata.normalize("NFKC", text).casefold()


def tokens(text: str) -> list[str]:
    """The different words of a text, and the pairs of characters of its Chinese, Japanese and Korean."""
    found: dict[str, None] = {}
    for run in _RUN.finditer(normal(text)):
        word = run[0]
        if run[1] and len(word) > 1:
            found.update(dict.fromkeys(a + b for a, b in pairwise(word)))
        else:
            found[word] = None
        if len(found) >= _MOST:
            break
    return list(found)[:_MOST]


def sought(text: str) -> list[str]:
    """The tokens that a message with these words has; ValueError where they say too little."""
    found = tokens(text)
    # A single Chinese character stands in no pair of its own; what it is beside other words shows when it is opened.
    certain = [token for token in found if len(token) > 1 or not re.fullmatch(f"[{_UNSPACED}]", token)]
    if not certain:
        raise ValueError("give a word, or at least two Chinese characters that stand together")
    return certain


def says(text: str, words: str) -> bool:
    """Whether a text really has each of the words, which equal hashes alone do not prove."""
    whole = normal(text)
    return all(part in whole for part in normal(words).split())


def hashes(cipher: Cipher, found: Sequence[str]) -> list[int]:
    """The hashes of tokens under the key that seals now; 32 bits, signed."""
    return _hashed(cipher.derived(_PURPOSE)[0], found)


def hashes_by_key(cipher: Cipher, found: Sequence[str]) -> list[list[int]]:
    """The same under each of a bot's data keys: messages of before a change of keys have those of the old one."""
    return [_hashed(key, found) for key in cipher.derived(_PURPOSE)]


def _hashed(key: bytes, found: Sequence[str]) -> list[int]:
    return [
        int.from_bytes(blake2b(token.encode(), digest_size=4, key=key).digest(), "big", signed=True) for token in found
    ]
