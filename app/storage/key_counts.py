"""What a bot's data keys still seal, counted where counting is cheap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.core.keys import Keys
from app.core.redis import RedisLink, guard
from app.storage.data_key import DataKey
from app.storage.messages import Messages


@dataclass(frozen=True, slots=True)
class Sealed:
    """What lies under one bot's data keys; mostly there is one."""

    bot: str
    keys: tuple[str, ...]
    """Their ids, the one that seals first."""
    stored: int
    waiting: int
    dead: int


async def count_sealed(
    link: RedisLink, keys: Keys, messages: Messages, held: Mapping[str, Sequence[DataKey]]
) -> list[Sealed]:
    """For each bot of `held`; StoreUnavailable when Redis or the database is away."""
    found = []
    for bot, data_keys in held.items():
        stored = await messages.count(bot)
        with guard():
            waiting = int(await link.commands.xlen(keys.bot(bot, "log")))
            dead = int(await link.commands.xlen(keys.bot(bot, "dead")))
        found.append(Sealed(bot, tuple(key.key_id.hex() for key in data_keys), stored, waiting, dead))
    return found
