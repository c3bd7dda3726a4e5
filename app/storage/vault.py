"""The database's copies of the bots' wrapped data keys."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from app.core.clock import SYSTEM_CLOCK, Clock
from app.storage.data_key import DataKey
from app.storage.database import Database
from app.storage.messages import insert_new
from app.storage.tables import data_keys


class DatabaseVault:
    """The table `data_keys`, as the keyring wants it; every call raises StoreUnavailable when the database is away."""

    def __init__(self, database: Database, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = database
        self._clock = clock

    async def keys_of(self, bot: str) -> Sequence[bytes]:
        """The wrapped keys of a bot, newest first."""
        query = select(data_keys.c.wrapped).where(data_keys.c.bot == bot).order_by(data_keys.c.created.desc())
        async with self._database.reading() as connection:
            return list((await connection.execute(query)).scalars())

    async def any_keys(self, limit: int) -> Sequence[tuple[str, bytes]]:
        """Some bots with a wrapped key of each."""
        query = select(data_keys.c.bot, data_keys.c.wrapped).limit(limit)
        async with self._database.reading() as connection:
            return [(row.bot, row.wrapped) for row in await connection.execute(query)]

    async def keep(self, keys: Sequence[DataKey]) -> None:
        """Store what is not yet there."""
        created = int(self._clock.now() * 1000)
        rows = [
            {"bot": key.bot, "key_id": key.key_id.hex(), "wrapped": key.wrapped, "created": created} for key in keys
        ]
        async with self._database.writing() as connection:
            await insert_new(connection, data_keys, rows)
