"""Looks up hashes of words in the days' indexes, the newest day first, until there is enough."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.batch import spell
from app.storage.days import DAY_MS, days_kept, words_of
from app.storage.query import Query, narrowed
from app.storage.tables import messages


async def ids_with(
    connection: AsyncConnection, hashed: Sequence[Sequence[int]], most: int, query: Query
) -> AsyncIterator[int]:
    """Ids of messages that have all hashes of one of the sets, the newest first; at most `most`."""
    left = most
    for day in await days_kept(connection, "words"):
        if query.since is not None and (day + 1) * DAY_MS <= query.since:
            return
        if query.until is not None and day * DAY_MS >= query.until:
            continue
        for number in await _of_day(connection, day, hashed, left, query):
            yield number
            left -= 1
        if left <= 0:
            return


async def _of_day(
    connection: AsyncConnection, day: int, hashed: Sequence[Sequence[int]], limit: int, query: Query
) -> list[int]:
    words = words_of(day)
    if connection.dialect.name == "postgresql":
        parameters: dict[str, Any] = {f"set{place}": list(one) for place, one in enumerate(hashed)}
        condition = " OR ".join(f"words @> CAST(:{name} AS integer[])" for name in parameters)
        matching = f"SELECT id FROM {words} WHERE {condition}"
    else:
        sets = (" AND ".join(f'"{word}"' for word in spell(one).split()) for one in hashed)
        parameters = {"hashes": " OR ".join(f"({one})" for one in sets)}
        matching = f"SELECT rowid AS id FROM {words} WHERE {words} MATCH :hashes"
    if query == Query(bot=query.bot):
        # Hashes are of one bot: nothing else needs to be asked, and the index gives them in order.
        chosen: Any = text(f"{matching} ORDER BY id DESC LIMIT {limit}").bindparams(**parameters)
    else:
        among = text(matching).bindparams(**parameters).columns(messages.c.id).subquery()
        chosen = narrowed(select(messages.c.id), query).where(messages.c.id.in_(select(among.c.id)))
        chosen = chosen.order_by(messages.c.id.desc()).limit(limit)
    return list(await connection.scalars(chosen))
