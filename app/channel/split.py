"""Cuts what is too long for one message where a reader would: between paragraphs, lines, sentences, words."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

Fits = Callable[[str], bool]
"""Whether a text is short enough; anything longer than one that is not is not either."""

_SEAMS: Final = ("\n\n", "\n", "。", "！", "？", ". ", "! ", "? ", "；", "; ", "，", ", ", " ")
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_ROW: Final = re.compile(r"^\s*\|.*$")
_RULE: Final = re.compile(r"^\s*\|?\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)*\|?\s*$")
# A block's beginning is repeated after a cut only if that leaves room for the rest.
_HEAD_SHARE: Final = 4


@dataclass(frozen=True, slots=True)
class _Block:
    """A code block or table that a cut would go through: where it begins, and what each part needs."""

    start: int
    head: str
    tail: str = ""


def cut(text: str, most: int, fits: Fits, *, markdown: bool = False) -> tuple[str, str]:
    """A beginning that fits, and the rest, empty if all of it fits; nothing over `most` bytes does.

    Only line breaks at the seam are left out. In markdown a code block or table that is cut goes on as one. If there is
    a rest, the beginning stays the same however much is added to the text.
    """
    if len(text) <= most and fits(text):
        return text, ""
    window = text[:most].encode("utf-8", "surrogatepass")[:most].decode("utf-8", "ignore")
    # The first length that is too long; at least one character always goes.
    end = max(1, bisect_left(range(1, len(window) + 1), True, key=lambda length: not fits(window[:length])))
    at = _seam(window, end)
    block = _block_at(window, at) if markdown else None
    if block is not None and at - block.start < at // 2:
        at, block = block.start, None
    if block is None or not block.head or len(block.head) > at // _HEAD_SHARE:
        return text[:at].rstrip("\n"), text[at:].lstrip("\n")
    return f"{text[:at].rstrip()}{block.tail}", f"{block.head}{text[at:]}"


def split(text: str, most: int, fits: Fits, *, markdown: bool = False) -> Iterator[str]:
    """A text in parts that fit, in order, none of them blank."""
    while text:
        part, text = cut(text, most, fits, markdown=markdown)
        if part.strip():
            yield part


def _seam(text: str, end: int) -> int:
    """The best place for a cut in the second half of the first `end` characters."""
    at = end
    for seam in _SEAMS:
        found = text.rfind(seam, end // 2, end)
        if found >= 0:
            at = found + len(seam)
            break
    # Not through a mention, which would no longer be one.
    mention = text.rfind("<at ", 0, at)
    if mention > 0 and text.find("</at>", mention, at) < 0:
        return mention
    return at


def _block_at(text: str, at: int) -> _Block | None:
    """The code block or table that spans `at`."""
    fence: re.Match[str] | None = None
    for found in _FENCE.finditer(text, 0, at):
        if fence is None:
            fence = found
        elif found[1].startswith(fence[1]) and not found[2].strip():
            fence = None
    if fence is not None:
        return _Block(fence.start(), f"{fence[0].strip()}\n", f"\n{fence[1]}")
    if text[at - 1 : at] != "\n" or not _ROW.match(text[at:].partition("\n")[0]):
        return None
    rows = 0
    lines = text[:at].splitlines(keepends=True)
    while rows < len(lines) and _ROW.match(lines[-1 - rows]):
        rows += 1
    if rows == 0:
        return None
    table = lines[-rows:]
    whole = len(table) > 1 and _RULE.match(table[1]) is not None
    return _Block(at - sum(map(len, table)), "".join(table[:2]) if whole else "")
