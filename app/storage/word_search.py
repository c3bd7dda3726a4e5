"""Looks up hashes of words in the days' indexes, the newest day first, some messages at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.batch import spell
from app.storage.database import Database
from app.storage.days import DAY_MS, contents_of, day_of, days_kept, words_of
from app.storage.query import Query
from app.storage.tables import messages

# A common word's newest page is mostly enough, and found in a fraction of the time that all pages take.
_FIRST: Final = 200
_MOST: Final = 3200


async def ids_with(
    database: Database, hashed: Sequence[Sequence[int]], query: Query, before: int | None = None
) -> AsyncIterator[tuple[int, list[int]]]:
    """Days, with ids of messages that have all hashes of one of the sets, newest first; of `query` only the times
    count.

    Each day ends with an empty page. `before` is the message after which the search goes on.
    """
    async with database.reading() as connection:
        days = await days_kept(connection, "words")
        last = None
        if before is not None:
            # Where it is gone meanwhile, all that came before it is looked at.
            last = await connection.scalar(select(messages.c.created).where(messages.c.id == before))
    size = _FIRST
    for day in days:
        if query.since is not None and (day + 1) * DAY_MS <= query.since:
            return
        if (query.until is not None and day * DAY_MS >= query.until) or (last is not None and day > day_of(last)):
            continue
        below = before if last is None or day == day_of(last) else None
        while True:
            async with database.reading() as connection:
                page = await _of_day(connection, day, hashed, size, below)
            yield day, page
            if len(page) < size:
                break
            below, size = page[-1], min(2 * size, _MOST)
        if page:
            yield day, []


async def oldest_of(database: Database, day: int) -> int | None:
    """The lowest id of a day: a search that goes on after it goes on with the day before."""
    async with database.reading() as connection:
        if day not in await days_kept(connection):
            return None
        oldest: int | None = await connection.scalar(text(f"SELECT min(id) FROM {contents_of(day)}"))
        return oldest


async def _of_day(
    connection: AsyncConnection, day: int, hashed: Sequence[Sequence[int]], limit: int, below: int | None
) -> list[int]:
    words = words_of(day)
    if connection.dialect.name == "postgresql":
        number = "id"
        parameters: dict[str, Any] = {f"set{place}": list(one) for place, one in enumerate(hashed)}
        condition = " OR ".join(f"words @> CAST(:{name} AS integer[])" for name in parameters)
    else:
        number = "rowid"
        sets = (" AND ".join(f'"{word}"' for word in spell(one).split()) for one in hashed)
        parameters = {"hashes": " OR ".join(f"({one})" for one in sets)}
        condition = f"{words} MATCH :hashes"
    bound = "" if below is None else f" AND {number} < {below}"
    # Hashes are of one bot: nothing else needs to be asked, and the index gives them in order.
    query = f"SELECT {number} FROM {words} WHERE ({condition}){bound} ORDER BY {number} DESC LIMIT {limit}"
    return list(await connection.scalars(text(query).bindparams(**parameters)))
