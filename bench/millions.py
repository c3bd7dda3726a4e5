"""Fills a store with millions of messages by the database's own means: into its tables, indexed at the end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.storage.batch import spell
from app.storage.cipher import Cipher
from app.storage.database import Database
from app.storage.days import DAY_MS, contents_of, ensure, words_of
from app.storage.words import hashes, tokens
from bench.speech import Speech

KEYS: Final = {b"keyi": bytes(range(32))}
CIPHER: Final = Cipher("one", KEYS, b"keyi")
FIRST_DAY: Final = 20_000
# So many different sentences are said over and over: making ten million takes longer than storing them.
_SENTENCES: Final = 200_000
_MIXED: Final = "number * 2654435761"

_Run = Callable[[str], Awaitable[Any]]

_INDEXES: Final = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite%'",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND "
    "(tablename = 'messages' OR tablename LIKE 'words%') AND indexname NOT LIKE '%pkey%'",
}


async def fill(url: str, directory: Path, days: int, a_day: int) -> None:
    """`a_day` messages of one bot, its words indexed, on each of so many days from FIRST_DAY on; ids from 1 on."""
    kind = make_url(url).get_backend_name()
    indexes = await _prepared(url, directory, range(FIRST_DAY, FIRST_DAY + days))
    await (_fill_sqlite if kind == "sqlite" else _fill_postgresql)(url, days, a_day, indexes)


async def _prepared(url: str, directory: Path, days: range) -> dict[str, str]:
    """Make the tables as the store does; their indexes by name, as SQL."""
    database = Database(url, directory)
    try:
        async with database.writing() as connection:
            await ensure(connection, days, words=True)
            found = await connection.execute(text(_INDEXES[connection.dialect.name]))
            return dict(found.tuples().all())
    finally:
        await database.close()


async def _fill_sqlite(url: str, days: int, a_day: int, indexes: dict[str, str]) -> None:
    connection = sqlite3.connect(str(make_url(url).database), isolation_level=None, check_same_thread=False)

    async def run(statement: str) -> None:
        await asyncio.to_thread(connection.execute, statement)

    for pragma in ("journal_mode = OFF", "synchronous = OFF", "secure_delete = OFF", "cache_size = -1000000"):
        await run(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE said (id INTEGER PRIMARY KEY, words TEXT)")
    connection.executemany("INSERT INTO said VALUES (?, ?)", ((n, spell(one)) for n, one in enumerate(_sentences())))

    def numbers(first: int, last: int) -> str:
        counted = f"SELECT {first} UNION ALL SELECT number + 1 FROM n WHERE number < {last}"
        return f"(WITH RECURSIVE n (number) AS ({counted}) SELECT number FROM n) AS numbers"

    names = {
        "id": "lower(hex(randomblob(16)))",
        "chat": f"printf('oc_%032x', {_MIXED} % 1000)",
        "person": f"printf('ou_%032x', {_MIXED} % 3000)",
        "sealed": "zeroblob(64)",
        "words": "rowid, words",
    }
    await _load(run, numbers, names, days, a_day, indexes)
    await run("PRAGMA journal_mode = WAL")
    connection.close()


async def _fill_postgresql(url: str, days: int, a_day: int, indexes: dict[str, str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for setting in ("synchronous_commit = off", "maintenance_work_mem = '1GB'", "work_mem = '64MB'"):
            await connection.execute(f"SET {setting}")
        await connection.execute("CREATE TABLE said (id BIGINT PRIMARY KEY, words INTEGER[])")
        await connection.copy_records_to_table("said", records=enumerate(_sentences()))
        await connection.execute("ANALYZE said")
        names = {
            "id": "md5(random()::text || number)",
            "chat": f"'oc_' || lpad(to_hex({_MIXED} % 1000), 32, '0')",
            "person": f"'ou_' || lpad(to_hex({_MIXED} % 3000), 32, '0')",
            "sealed": "decode(repeat('01', 64), 'hex')",
            "words": "id, words",
        }
        numbers = "generate_series({}::bigint, {}) AS number".format
        await _load(connection.execute, numbers, names, days, a_day, indexes)
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('messages', 'id'), (SELECT max(id) FROM messages))"
        )
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def _load(
    run: _Run,
    numbers: Callable[[int, int], str],
    names: dict[str, str],
    days: int,
    a_day: int,
    indexes: dict[str, str],
) -> None:
    for index in indexes:
        await run(f"DROP INDEX {index}")
    for day in range(FIRST_DAY, FIRST_DAY + days):
        before = (day - FIRST_DAY) * a_day
        counted = numbers(before + 1, before + a_day)
        created = f"{day * DAY_MS} + (number - {before + 1}) * {DAY_MS} / {a_day}"
        await run("BEGIN")
        await run(
            "INSERT INTO messages (id, bot, key, direction, type, chat_id, user_id, message_id, created) "
            f"SELECT number, 'one', {names['id']}, 'in', 'im.message.receive_v1', {names['chat']}, {names['person']}, "
            f"'om_' || {names['id']}, {created} FROM {counted}"
        )
        await run(f"INSERT INTO {contents_of(day)} SELECT number, {names['sealed']} FROM {counted}")
        await run(
            f"INSERT INTO {words_of(day)} ({names['words']}) SELECT number, said.words FROM {counted} "
            f"JOIN said ON said.id = {_MIXED} % {_SENTENCES}"
        )
        await run("COMMIT")
    for sql in indexes.values():
        await run(sql)
    await run("DROP TABLE said")


def _sentences() -> list[list[int]]:
    """What is said, as hashes of its words."""
    speech = Speech()
    return [hashes(CIPHER, tokens(speech.sentence())) for _ in range(_SENTENCES)]
