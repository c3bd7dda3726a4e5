"""The database's copies of the bots' wrapped data keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import select, update

from app.core.clock import SYSTEM_CLOCK, Clock
from app.storage.data_key import DataKey
from app.storage.database import Database
from app.storage.key_record import KeyRecord
from app.storage.messages import insert_new
from app.storage.schema import HEAD
from app.storage.tables import data_keys


class DatabaseVault:
    """The table `data_keys`, as the keyring wants it; every call raises StoreUnavailable when the database is away.

    A row whose `wrapped` is empty stands for a key that was shredded.
    """

    def __init__(self, database: Database, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = database
        self._clock = clock

    async def of(self, bot: str) -> KeyRecord:
        """The bot's record, newest key first."""
        return dict(await self._records(bot)).get(bot, KeyRecord())

    async def all(self) -> Sequence[tuple[str, KeyRecord]]:
        """Every bot's record."""
        return await self._records(None)

    async def bots(self) -> frozenset[str]:
        """Every bot that has a key here; none while the schema is yet to be made or updated; asking must not do it."""
        if await self._database.revision() != HEAD:
            return frozenset()
        query = select(data_keys.c.bot).where(data_keys.c.wrapped != b"").distinct()
        async with self._database.reading() as connection:
            return frozenset((await connection.execute(query)).scalars())

    async def some(self, limit: int) -> Sequence[tuple[str, KeyRecord]]:
        """Some bots with a wrapped key of each."""
        query = select(data_keys.c.bot, data_keys.c.wrapped).where(data_keys.c.wrapped != b"").limit(limit)
        async with self._database.reading() as connection:
            return [(row.bot, KeyRecord((row.wrapped,))) for row in await connection.execute(query)]

    async def keep(self, keys: Sequence[DataKey], opens: Callable[[bytes], object] = bool) -> None:
        """Store what is not yet there, and in place of a copy that does not open any more; never what was shredded."""
        created = int(self._clock.now() * 1000)
        rows = [
            {"bot": key.bot, "key_id": key.key_id.hex(), "wrapped": key.wrapped, "created": created} for key in keys
        ]
        async with self._database.writing() as connection:
            await insert_new(connection, data_keys, rows)
            there = select(data_keys).where(data_keys.c.bot.in_({key.bot for key in keys}), data_keys.c.wrapped != b"")
            wrapped = {(key.bot, key.key_id.hex()): key.wrapped for key in keys}
            for row in (await connection.execute(there)).all():
                better = wrapped.get((row.bot, row.key_id))
                if better is not None and not opens(bytes(row.wrapped)):
                    same = (data_keys.c.bot == row.bot, data_keys.c.key_id == row.key_id)
                    await connection.execute(update(data_keys).where(*same).values(wrapped=better))

    async def replace(self, bot: str, old: bytes, new: bytes) -> bool:
        """Write another wrapping of a key in place of the one that was read; False when it is not there any more."""
        statement = update(data_keys).where(data_keys.c.bot == bot, data_keys.c.wrapped == old).values(wrapped=new)
        async with self._database.writing() as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def ids(self, bot: str) -> frozenset[bytes]:
        """The ids of the bot's keys, whatever wraps them, and of those that were shredded."""
        query = select(data_keys.c.key_id).where(data_keys.c.bot == bot)
        async with self._database.reading() as connection:
            return frozenset(bytes.fromhex(key_id) for key_id in (await connection.execute(query)).scalars())

    async def destroy(self, bot: str, ids: frozenset[bytes]) -> None:
        """Keep that these keys are gone, in place of them; a key that the bot has got since stays."""
        created = int(self._clock.now() * 1000)
        rows = [{"bot": bot, "key_id": key_id.hex(), "wrapped": b"", "created": created} for key_id in sorted(ids)]
        async with self._database.writing() as connection:
            gone = update(data_keys).where(
                data_keys.c.bot == bot, data_keys.c.key_id.in_([row["key_id"] for row in rows])
            )
            await connection.execute(gone.values(wrapped=b""))
            await insert_new(connection, data_keys, rows)

    async def scrub(self) -> None:
        """Leave nothing of keys that were destroyed in the database's files."""
        await self._database.scrub(data_keys.name)

    async def _records(self, bot: str | None) -> list[tuple[str, KeyRecord]]:
        query = select(data_keys).order_by(data_keys.c.bot, data_keys.c.created.desc())
        if bot is not None:
            query = query.where(data_keys.c.bot == bot)
        async with self._database.reading() as connection:
            rows = list(await connection.execute(query))
        return [(name, _record(found)) for name, found in groupby(rows, key=lambda row: str(row.bot))]


def _record(rows: Iterable[Any]) -> KeyRecord:
    listed = list(rows)
    return KeyRecord(
        tuple(bytes(row.wrapped) for row in listed if row.wrapped),
        frozenset(bytes.fromhex(row.key_id) for row in listed if not row.wrapped),
    )
