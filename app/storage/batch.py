"""Writes a batch of messages in each database's quickest way, without SQLAlchemy's statements."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.days import contents_of, day_of, ensure, words_of
from app.storage.message import NewMessage

_COLUMNS: Final = NewMessage._fields[:-1]
_NAMES: Final = ", ".join(_COLUMNS)
# Rows handled, in a third of a millisecond, before the loop is let to others.
_BREATH: Final = 200

_SQLITE: Final = f"INSERT OR IGNORE INTO messages (id, {_NAMES}) VALUES (?{', ?' * len(_COLUMNS)})"
_IDS: Final = (
    "WITH numbers AS MATERIALIZED (SELECT pg_get_serial_sequence('messages', 'id')::regclass AS counter) "
    "SELECT array_agg(nextval(counter)) FROM numbers, generate_series(1, $1)"
)
_POSTGRESQL: Final = (
    f"INSERT INTO messages (id, {_NAMES}) SELECT id, {_NAMES} FROM unnest($1::bigint[], "
    + ", ".join(f"${place}::{'bigint' if name == 'created' else 'text'}[]" for place, name in enumerate(_COLUMNS, 2))
    + f") AS batch (id, {_NAMES}) ON CONFLICT DO NOTHING RETURNING id"
)
_UNIQUE_VIOLATION: Final = "23505"

Words = Mapping[int, Sequence[int]]
"""Hashes of words, by the place of their message in the batch."""


async def write(connection: AsyncConnection, rows: Sequence[NewMessage], words: Words) -> None:
    """Store all of `rows` in the transaction that is open; those already there stay as they are."""
    await ensure(connection, {day_of(row.created) for row in rows}, words=bool(words))
    # SQLAlchemy begins the transaction with the first statement of its own, and `ensure` was one.
    driver: Any = (await connection.get_raw_connection()).driver_connection
    postgresql = connection.dialect.name == "postgresql"
    contents: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    hashes: dict[int, list[tuple[int, Sequence[int]]]] = defaultdict(list)
    new = await (_insert_postgresql if postgresql else _insert_sqlite)(driver, rows)
    for place, message in new.items():
        if place % _BREATH == 0:
            await asyncio.sleep(0)
        day = day_of(rows[place].created)
        contents[day].append((message, rows[place].sealed))
        if place in words:
            hashes[day].append((message, words[place]))
    for day, records in contents.items():
        if postgresql:
            await driver.copy_records_to_table(contents_of(day), records=_breathing(records))
        else:
            await driver.executemany(f"INSERT INTO {contents_of(day)} VALUES (?, ?)", records)
    for day, entries in hashes.items():
        if postgresql:
            await driver.copy_records_to_table(words_of(day), records=_breathing(entries))
        else:
            spelt = ((message, spell(found)) for message, found in entries)
            await driver.executemany(f"INSERT INTO {words_of(day)} (rowid, words) VALUES (?, ?)", spelt)


def spell(hashes: Iterable[int]) -> str:
    """Hashes as the words that SQLite's index is given."""
    return " ".join(f"{number & 0xFFFFFFFF:x}" for number in hashes)


async def _insert_sqlite(driver: Any, rows: Sequence[NewMessage]) -> dict[int, int]:
    """Insert what is new; the ids given, by place in the batch."""
    # Within the one writer's transaction nobody else gives ids.
    ((last,),) = await driver.execute_fetchall("SELECT max(seq) FROM sqlite_sequence WHERE name = 'messages'")
    first = (last or 0) + 1
    # Made row by row, in the driver's thread.
    done = await driver.executemany(_SQLITE, ((number, *row[:-1]) for number, row in enumerate(rows, first)))
    if done.rowcount == len(rows):
        return dict(enumerate(range(first, first + len(rows))))
    found = await driver.execute_fetchall("SELECT id FROM messages WHERE id >= ? ORDER BY id", (first,))
    return {number - first: number for (number,) in found}


async def _insert_postgresql(driver: Any, rows: Sequence[NewMessage]) -> dict[int, int]:
    # In the order of the batch.
    ids: list[int] = await driver.fetchval(_IDS, len(rows))

    numbered = ((number, *row[:-1]) for number, row in zip(ids, rows, strict=True))
    try:
        async with driver.transaction():
            await driver.copy_records_to_table("messages", records=_breathing(numbered), columns=("id", *_COLUMNS))
        return dict(enumerate(ids))
    except Exception as error:
        if getattr(error, "sqlstate", None) != _UNIQUE_VIOLATION:
            raise
    # Some are there already, or twice in the batch: copying takes all or none, and this costs half as much again.
    columns = list(zip(*rows, strict=True))[:-1]
    given = {record[0] for record in await driver.fetch(_POSTGRESQL, ids, *columns)}
    return {place: number for place, number in enumerate(ids) if number in given}


async def _breathing(records: Iterable[tuple[Any, ...]]) -> AsyncIterator[tuple[Any, ...]]:
    """Records to be copied, with pauses that let others on the loop; the driver alone would go on for 512 KiB."""
    for place, record in enumerate(records):
        if place % _BREATH == 0:
            await asyncio.sleep(0)
        yield record
