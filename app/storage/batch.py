"""Writes a batch of messages in the way that is quickest for each database, past SQLAlchemy's statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.days import contents_of, day_of, ensure, words_of
from app.storage.message import NewMessage

_COLUMNS: Final = NewMessage._fields[:-1]
_NAMES: Final = ", ".join(_COLUMNS)

_SQLITE: Final = f"INSERT OR IGNORE INTO messages (id, {_NAMES}) VALUES (?{', ?' * len(_COLUMNS)})"
_POSTGRESQL: Final = (
    f"INSERT INTO messages ({_NAMES}) SELECT {_NAMES} FROM unnest("
    + ", ".join(f"${place}::{'bigint' if name == 'created' else 'text'}[]" for place, name in enumerate(_COLUMNS, 1))
    # In order, so that ids are given in the order of the batch.
    + f") WITH ORDINALITY AS batch ({_NAMES}, place) ORDER BY place ON CONFLICT DO NOTHING RETURNING id"
)
_WHOSE: Final = "SELECT id, bot, key FROM messages WHERE id = ANY($1::bigint[])"

Words = Mapping[int, Sequence[int]]
"""Hashes of the words of some messages of a batch, by their place in it."""


async def write(connection: AsyncConnection, rows: Sequence[NewMessage], words: Words) -> None:
    """Store all of `rows` in the transaction that is open; those already there stay as they are."""
    await ensure(connection, {day_of(row.created) for row in rows}, words=bool(words))
    insert = _insert_postgresql if connection.dialect.name == "postgresql" else _insert_sqlite
    contents: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    hashes: dict[int, list[tuple[int, Sequence[int]]]] = defaultdict(list)
    for place, message in await insert(connection, rows):
        day = day_of(rows[place].created)
        contents[day].append((message, rows[place].sealed))
        if place in words:
            hashes[day].append((message, words[place]))
    if connection.dialect.name == "postgresql":
        driver = await _driver(connection)
        for day, records in contents.items():
            await driver.copy_records_to_table(contents_of(day), records=records)
        for day, entries in hashes.items():
            await driver.copy_records_to_table(words_of(day), records=entries)
        return
    for day, records in contents.items():
        await connection.exec_driver_sql(f"INSERT INTO {contents_of(day)} VALUES (?, ?)", records)
    for day, entries in hashes.items():
        spelt = [(message, spell(found)) for message, found in entries]
        await connection.exec_driver_sql(f"INSERT INTO {words_of(day)} (rowid, words) VALUES (?, ?)", spelt)


def spell(hashes: Iterable[int]) -> str:
    """Hashes as the words that SQLite's index is told."""
    return " ".join(f"{number & 0xFFFFFFFF:x}" for number in hashes)


async def _insert_sqlite(connection: AsyncConnection, rows: Sequence[NewMessage]) -> list[tuple[int, int]]:
    """Insert what is new; the place in the batch and the id of each."""
    # Within the one writer's transaction nobody else gives ids.
    last = await connection.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = 'messages'"))
    first = (last or 0) + 1
    numbered = [(number, *row[:-1]) for number, row in enumerate(rows, first)]
    done = await connection.exec_driver_sql(_SQLITE, numbered)
    given = list(range(first, first + len(rows)))
    if done.rowcount != len(rows):
        found = await connection.scalars(text("SELECT id FROM messages WHERE id >= :first"), {"first": first})
        given = list(found)
    return [(number - first, number) for number in given]


async def _insert_postgresql(connection: AsyncConnection, rows: Sequence[NewMessage]) -> list[tuple[int, int]]:
    driver = await _driver(connection)
    columns = list(zip(*rows, strict=True))[:-1]
    given = sorted(record[0] for record in await driver.fetch(_POSTGRESQL, *columns))
    if len(given) == len(rows):
        return list(enumerate(given))
    # The first of two that are the same counts.
    places = {row[:2]: place for place, row in reversed(list(enumerate(rows)))}
    return [(places[bot, key], number) for number, bot, key in await driver.fetch(_WHOSE, given)]


async def _driver(connection: AsyncConnection) -> Any:
    """asyncpg's own connection, inside the transaction that SQLAlchemy began."""
    # SQLAlchemy begins it with the first statement of its own, and `ensure` was one.
    return (await connection.get_raw_connection()).driver_connection
