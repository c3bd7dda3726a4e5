"""One bot's data key as it is kept: wrapped by the master key, together with its bot and its id."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.core.errors import SealBroken
from app.storage.cipher import KEY_ID_LENGTH, KEY_LENGTH
from app.storage.master_key import MasterKey


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key that the master key opens."""

    bot: str
    key_id: bytes
    wrapped: bytes = field(repr=False)
    plain: bytes = field(repr=False)


def make(master: MasterKey, bot: str) -> bytes:
    """A new random data key of a bot, wrapped."""
    return master.wrap(bot.encode() + b"\n" + os.urandom(KEY_ID_LENGTH) + os.urandom(KEY_LENGTH))


def unwrap(master: MasterKey, bot: str, wrapped: bytes) -> DataKey:
    """Open a wrapped key; SealBroken when it is under another master key, or another bot's."""
    content = master.unwrap(wrapped)
    owner, key = content[: -KEY_ID_LENGTH - KEY_LENGTH], content[-KEY_ID_LENGTH - KEY_LENGTH :]
    # The owner stands inside, so that nobody who can write to Redis can give one bot another's key.
    if owner != bot.encode() + b"\n":
        raise SealBroken("is the key of another bot")
    return DataKey(bot, key[:KEY_ID_LENGTH], wrapped, key[KEY_ID_LENGTH:])


def unwrap_good(master: MasterKey, bot: str, copies: Iterable[bytes]) -> tuple[list[DataKey], int]:
    """Those of `copies` that open, and how many do not."""
    good: list[DataKey] = []
    bad = 0
    for wrapped in copies:
        try:
            good.append(unwrap(master, bot, wrapped))
        except SealBroken:
            bad += 1
    return good, bad


def distinct(keys: Iterable[DataKey]) -> list[DataKey]:
    """One key for each id, in order of first appearance; of several wrappings the last one counts."""
    return list({key.key_id: key for key in keys}.values())
