"""How Feishu encrypts events: AES-256-CBC under SHA-256 of the Encrypt Key, base64 of IV and ciphertext."""

from __future__ import annotations

import binascii
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from app.core.errors import BadRequest

_BLOCK: Final = 16
_SHORTEST: Final = 2 * _BLOCK  # the IV and one block
_PADDINGS: Final = tuple(bytes([n]) * n for n in range(_BLOCK + 1))


def aes_key(encrypt_key: str) -> bytes:
    """The 32-byte AES key that belongs to an Encrypt Key (Feishu docs: Encryption)."""
    return hashlib.sha256(encrypt_key.encode()).digest()


def decrypt(keys: Sequence[bytes], encrypted: str) -> bytes:
    """The plain bytes of `encrypted` under the first of `keys` that fits; one BadRequest for every fault."""
    try:
        # Strict, since the lenient way drops foreign characters silently.
        data = binascii.a2b_base64(encrypted, strict_mode=True)
    except ValueError:
        raise _undecryptable() from None
    if len(data) < _SHORTEST or len(data) % _BLOCK:
        raise _undecryptable()
    for key in keys:
        padded = _decryptor(key).update(data)[_BLOCK:]
        length = padded[-1]
        if 1 <= length <= _BLOCK and padded.endswith(_PADDINGS[length]):
            return padded[:-length]
    raise _undecryptable()


@lru_cache(maxsize=4096)
def _decryptor(key: bytes) -> CipherContext:
    """A decryptor that is never finished, since making one costs more than a message.

    In CBC a block depends on its own and the preceding ciphertext alone: given the IV as first block, what was
    decrypted before changes only what comes out for the IV, which is thrown away.
    """
    return Cipher(AES(key), CBC(bytes(_BLOCK))).decryptor()


def encrypt(key: bytes, plain: bytes, iv: bytes | None = None) -> str:
    """What Feishu would send as `encrypt`; `iv` (16 bytes) is given only to reproduce a known ciphertext."""
    start = os.urandom(_BLOCK) if iv is None else iv
    encryptor = Cipher(AES(key), CBC(start)).encryptor()
    padded = plain + _PADDINGS[_BLOCK - len(plain) % _BLOCK]
    sealed = start + encryptor.update(padded) + encryptor.finalize()
    return binascii.b2a_base64(sealed, newline=False).decode()


def _undecryptable() -> BadRequest:
    # One text for bad base64, length and padding: telling them apart would make a padding oracle.
    return BadRequest("the body cannot be decrypted")
