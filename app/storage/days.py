"""The tables of one day each that hold what was said: made when the day begins, dropped whole when its time is up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

DAY_MS: Final = 86_400_000

# Any number that no other lock has: two nodes that make the same table at once would trip over each other.
_MAKING: Final = 0x6665697368750002
_CONTENTS: Final = {
    "sqlite": ("CREATE TABLE {contents} (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",),
    "postgresql": (
        "CREATE TABLE {contents} (id BIGINT PRIMARY KEY, sealed BYTEA NOT NULL)",
        # PostgreSQL would try to compress what cannot be.
        "ALTER TABLE {contents} ALTER COLUMN sealed SET STORAGE EXTERNAL",
    ),
}
_WORDS: Final = {
    # The engine's own inverted index, given nothing but the hashes and which message has them.
    "sqlite": (
        "CREATE VIRTUAL TABLE {words} USING fts5(words, content='', detail=none, columnsize=0, tokenize='ascii')",
    ),
    "postgresql": (
        "CREATE TABLE {words} (id BIGINT NOT NULL, words INTEGER[] NOT NULL)",
        # New entries lie in a list that every search reads from end to end, so it is kept short.
        "CREATE INDEX {words}_gin ON {words} USING gin (words) WITH (gin_pending_list_limit = 256)",
    ),
}


def day_of(created: int) -> int:
    """The day, counted from the epoch, of an instant in milliseconds."""
    return created // DAY_MS


def contents_of(day: int) -> str:
    """The table of what was said on a day, by message id."""
    return f"contents_{day}"


def words_of(day: int) -> str:
    """The index of the words of a day."""
    return f"words_{day}"


async def days_kept(connection: AsyncConnection, kind: str = "contents") -> list[int]:
    """The days that have a table of `kind` (`contents`, `words`), the newest first."""
    names = await connection.scalars(text(_NAMES[connection.dialect.name]), {"pattern": rf"{kind}\_%"})
    return sorted((int(day) for _, _, day in (name.partition("_") for name in names) if day.isdecimal()), reverse=True)


async def ensure(connection: AsyncConnection, days: Collection[int], *, words: bool) -> None:
    """Make the tables of `days` that are missing; those of words only if they are wanted."""
    dialect = connection.dialect.name
    for kind, make in (("contents", _CONTENTS), ("words", _WORDS))[: 2 if words else 1]:
        if set(days) <= set(await days_kept(connection, kind)):
            continue
        if dialect == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MAKING})
        for day in sorted(set(days) - set(await days_kept(connection, kind))):
            for statement in make[dialect]:
                await connection.execute(text(statement.format(contents=contents_of(day), words=words_of(day))))


async def shut(connection: AsyncConnection, day: int) -> None:
    """Lock a day's tables against writers until the transaction ends, once those who are writing have finished.

    Do so before looking at the contents: what was committed between the look, or the copy, and the end of the old table
    would be lost with it. SQLite has one writer at a time. Words are written after contents, so one lock covers both.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"LOCK TABLE {contents_of(day)} IN SHARE ROW EXCLUSIVE MODE"))


async def drop(connection: AsyncConnection, day: int) -> None:
    """Drop a day: its files go with its tables; in SQLite their pages are overwritten."""
    for table in (words_of(day), contents_of(day)):
        await connection.execute(text(f"DROP TABLE IF EXISTS {table}"))


async def rewrite(connection: AsyncConnection, day: int) -> None:
    """Rewrite a day's tables, already `shut`, without what was deleted: it would otherwise stay in their pages."""
    contents, words = contents_of(day), words_of(day)
    dialect = connection.dialect.name
    steps = [*_CONTENTS_ANEW[dialect]]
    if day in await days_kept(connection, "words"):
        steps += _WORDS_ANEW[dialect]
    for step in steps:
        await connection.execute(text(step.format(contents=contents, words=words)))


_NAMES: Final = {
    "sqlite": r"SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE :pattern ESCAPE '\'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE :pattern",
}
_CONTENTS_ANEW: Final = {
    "sqlite": (
        "CREATE TEMPORARY TABLE rest AS SELECT * FROM {contents}",
        # Without a condition this gives all pages back, overwritten.
        "DELETE FROM {contents}",
        "INSERT INTO {contents} SELECT * FROM rest",
        "DROP TABLE rest",
    ),
    "postgresql": (
        "CREATE TEMPORARY TABLE rest (LIKE {contents} INCLUDING STORAGE)",
        "INSERT INTO rest SELECT * FROM {contents}",
        # A new file; the old one is removed with the commit.
        "TRUNCATE {contents}",
        "INSERT INTO {contents} SELECT * FROM rest",
        "DROP TABLE rest",
    ),
}
_WORDS_ANEW: Final = {
    "sqlite": (
        # The index cannot be read by message; its own vocabulary can, and says which hash is in which.
        "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, {words}, instance)",
        "CREATE TEMPORARY TABLE rest AS SELECT doc, group_concat(term, ' ') AS words FROM temp.vocabulary "
        "WHERE doc IN (SELECT id FROM {contents}) GROUP BY doc",
        "DROP TABLE temp.vocabulary",
        "INSERT INTO {words} ({words}) VALUES ('delete-all')",
        "INSERT INTO {words} (rowid, words) SELECT doc, words FROM rest",
        "DROP TABLE rest",
    ),
    "postgresql": (
        "CREATE TEMPORARY TABLE rest AS SELECT * FROM {words} WHERE id IN (SELECT id FROM {contents})",
        "TRUNCATE {words}",
        "INSERT INTO {words} SELECT * FROM rest",
        "DROP TABLE rest",
    ),
}
