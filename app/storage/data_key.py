"""One bot's data key as it is kept: wrapped by the master key, together with its bot and its id."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.core.errors import SealBroken
from app.core.logs import get_logger
from app.storage.cipher import KEY_ID_LENGTH, KEY_LENGTH
from app.storage.master_key import MasterKey

log = get_logger(__name__)


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
    # The owner stands inside, so that who can write to Redis cannot give one bot the key of another.
    if owner != bot.encode() + b"\n":
        raise SealBroken("is the key of another bot")
    return DataKey(bot, key[:KEY_ID_LENGTH], wrapped, key[KEY_ID_LENGTH:])


def unwrap_good(master: MasterKey, bot: str, copies: Iterable[bytes]) -> list[DataKey]:
    """Those of `copies` that open; the others are logged."""
    good: list[DataKey] = []
    for wrapped in copies:
        try:
            good.append(unwrap(master, bot, wrapped))
        except SealBroken as error:
            log.warning("a copy of a data key does not open", bot=bot, error=str(error))
    return good
