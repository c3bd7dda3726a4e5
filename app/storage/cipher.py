"""Seals what is kept of one bot, so that it opens only under the bot's key and only in its own place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.errors import SealBroken

KEY_ID_LENGTH: Final = 4
KEY_LENGTH: Final = 32

_VERSION: Final = b"\x01"
_NONCE_LENGTH: Final = 12
_TAG_LENGTH: Final = 16
_HEADER_LENGTH: Final = len(_VERSION) + KEY_ID_LENGTH
_SHORTEST: Final = _HEADER_LENGTH + _NONCE_LENGTH + _TAG_LENGTH


class Seal(Protocol):
    """Seals and opens what is kept of any bot, under that bot's own key: the keyring."""

    async def seal(self, bot: str, plain: bytes, identity: bytes) -> bytes:
        """Seal `plain` for the record named `identity`."""
        ...

    async def open(self, bot: str, sealed: bytes, identity: bytes) -> bytes:
        """What was sealed for it; SealBroken when it does not open."""
        ...


def key_id_of(sealed: bytes) -> bytes:
    """The id of the data key that sealed it."""
    return sealed[len(_VERSION) : _HEADER_LENGTH]


class Cipher:
    """AES-256-GCM under one bot's data keys: version ‖ key id ‖ nonce ‖ ciphertext and tag.

    The associated data is bot and record identity, so a sealed record that is moved to another bot or
    another record does not open.
    """

    __slots__ = ("_current", "_header", "_keys", "_place", "_roots", "bot")

    def __init__(self, bot: str, keys: Mapping[bytes, bytes], current: bytes) -> None:
        """`keys` maps 4-byte ids to 32-byte keys; `current` is the id that seals. ValueError if not."""
        if current not in keys:
            raise ValueError(f"bot {bot}: the current data key {current.hex()} is not among the keys given")
        for key_id, key in keys.items():
            if len(key_id) != KEY_ID_LENGTH or len(key) != KEY_LENGTH:
                raise ValueError(f"bot {bot}: a data key needs an id of 4 bytes and 32 bytes of key")
        self.bot = bot
        # Making an AESGCM object costs more than a seal: each key's is made once.
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        # Other keys are derived from these, so that a derived key does not reveal the data key.
        first = sorted(keys, key=lambda key_id: key_id != current)
        self._roots = [hashlib.blake2b(b"feishu-hub derived", key=keys[key_id]).digest() for key_id in first]
        self._header = _VERSION + current
        self._current = self._keys[current]
        self._place = bot.encode() + b"\n"

    def seal(self, plain: bytes, identity: bytes) -> bytes:
        """Seal `plain` for the record named `identity`."""
        # Random nonces stay safe for 2**32 records a key, over a year of 100 records a second.
        nonce = os.urandom(_NONCE_LENGTH)
        return self._header + nonce + self._current.encrypt(nonce, plain, self._place + identity)

    def open(self, sealed: bytes, identity: bytes) -> bytes:
        """What was sealed for the record named `identity`; SealBroken when it does not open."""
        if not looks_sealed(sealed):
            raise SealBroken(
                f"bot {self.bot}: a record is in no sealed form that this hub knows: it is damaged, or "
                "written by a newer version; check that all nodes run the same version"
            )
        key_id = sealed[len(_VERSION) : _HEADER_LENGTH]
        key = self._keys.get(key_id)
        if key is None:
            raise SealBroken(
                f"bot {self.bot}: a record is sealed under data key {key_id.hex()}, which this node does not "
                "hold: it was shredded, or Redis and the database lost it; check for a wrapped copy in `keys/` "
                "of the other nodes' data directories"
            )
        nonce_end = _HEADER_LENGTH + _NONCE_LENGTH
        try:
            return key.decrypt(sealed[_HEADER_LENGTH:nonce_end], sealed[nonce_end:], self._place + identity)
        except InvalidTag:
            raise SealBroken(
                f"bot {self.bot}: a record does not open under data key {key_id.hex()}: it was changed or "
                "moved; check the disk that it lies on, and who else writes to Redis and the database"
            ) from None

    def derived(self, purpose: bytes) -> list[bytes]:
        """For each data key, the one that seals first, a 32-byte key for another purpose.

        It is gone with its data key.
        """
        return [hashlib.blake2b(purpose, key=root, digest_size=32).digest() for root in self._roots]

    @property
    def key_ids(self) -> frozenset[bytes]:
        """The ids of all keys that open."""
        return frozenset(self._keys)

    @property
    def current_id(self) -> bytes:
        """The id of the key that seals."""
        return self._header[len(_VERSION) :]

    def __repr__(self) -> str:
        return f"Cipher({self.bot!r}, current={self.current_id.hex()}, keys=<{len(self._keys)} hidden>)"


def looks_sealed(blob: bytes) -> bool:
    """Whether `blob` has the outer form of a sealed record; says nothing of whether it opens."""
    return len(blob) >= _SHORTEST and blob[:1] == _VERSION


def record_identity(key: str) -> bytes:
    """The identity under which the event or sent message `key` is sealed, in log and store alike."""
    return b"event\n" + key.encode()
