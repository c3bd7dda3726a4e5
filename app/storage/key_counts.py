"""What a bot's data keys still seal, counted where counting is cheap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from app.core.keys import Keys
from app.core.redis import RedisLink, guard
from app.storage.cipher import KEY_ID_LENGTH
from app.storage.data_key import DataKey
from app.storage.database import Database
from app.storage.tables import messages


@dataclass(frozen=True, slots=True)
class Sealed:
    """Records of one bot under one data key; what is in Redis is counted for the bot's first key, which seals."""

    bot: str
    key_id: str
    stored: int
    waiting: int
    dead: int


async def count_sealed(
    link: RedisLink, keys: Keys, database: Database, held: Mapping[str, Sequence[DataKey]]
) -> list[Sealed]:
    """For each bot and data key of `held`; StoreUnavailable when Redis or the database is away."""
    found = []
    for bot, data_keys in held.items():
        ids = [key.key_id.hex() for key in data_keys]
        stored = await _stored(database, bot, ids)
        with guard():
            waiting = int(await link.commands.xlen(keys.bot(bot, "log")))
            dead = int(await link.commands.xlen(keys.bot(bot, "dead")))
        for number, key_id in enumerate(ids):
            first = number == 0
            found.append(Sealed(bot, key_id, stored[key_id], waiting if first else 0, dead if first else 0))
    return found


async def _stored(database: Database, bot: str, ids: list[str]) -> dict[str, int]:
    count: Any = func.count()
    async with database.reading() as connection:
        if len(ids) == 1:
            # Of one key: an index answers, and no row is read.
            query = select(count).select_from(messages).where(messages.c.bot == bot)
            return {ids[0]: int((await connection.execute(query)).scalar_one())}
        key = func.substr(messages.c.sealed, 2, KEY_ID_LENGTH).label("key")
        rows = await connection.execute(select(key, count).where(messages.c.bot == bot).group_by(key))
        by_key = {bytes(row[0]).hex(): int(row[1]) for row in rows}
    return {key_id: by_key.get(key_id, 0) for key_id in ids}
