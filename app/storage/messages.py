"""The message store: what came in and went out, content sealed, ids in clear so that it can be found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Select, func, select, text, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import Table

from app.storage.batch import Words, write
from app.storage.cipher import KEY_ID_LENGTH, key_id_of
from app.storage.database import Database
from app.storage.days import contents_of, day_of, days_kept
from app.storage.message import RECALLS, MessageInfo, NewMessage, State, StoredMessage
from app.storage.query import Query, narrowed
from app.storage.tables import messages, worn_days

LONGEST_PAGE: Final = 1000

INFO_COLUMNS: Final = tuple(messages.c[field.name] for field in fields(MessageInfo))


class Messages:
    """The table `messages` and the days' contents; every call raises StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def insert(self, rows: Sequence[NewMessage], words: Words | None = None) -> None:
        """Store all of `rows` in one transaction; those already there stay as they are."""
        if not rows:
            return
        async with self.database.writing() as connection:
            await write(connection, rows, words or {})

    async def search(self, query: Query, *, before: int | None = None, limit: int = 50) -> list[MessageInfo]:
        """A page of what a query asks for, newest first; ValueError where it needs a bot and names none."""
        chosen = narrowed(select(*INFO_COLUMNS), query).limit(min(limit, LONGEST_PAGE))
        if query.bot is None:
            chosen = chosen.order_by(messages.c.id.desc())
            if before is not None:
                chosen = chosen.where(messages.c.id < before)
        else:
            order = (messages.c.created, messages.c.id)
            chosen = chosen.order_by(*(column.desc() for column in order))
            if before is not None:
                last = select(*order).where(messages.c.id == before).scalar_subquery()
                chosen = chosen.where(tuple_(*order) < last)
        return await self.fetch(chosen)

    async def fetch(self, chosen: Select[Any]) -> list[MessageInfo]:
        """The messages that a statement over INFO_COLUMNS chooses."""
        async with self.database.reading() as connection:
            return [MessageInfo(*row) for row in await connection.execute(chosen)]

    async def show(self, message: int) -> StoredMessage | None:
        """The message of that id, if there is one."""
        found = await self.fetch(select(*INFO_COLUMNS).where(messages.c.id == message))
        if not found:
            return None
        return (await self.contents(found))[0]

    async def about(self, info: MessageInfo) -> list[MessageInfo]:
        """What else is stored about the same message, oldest first: edits, reactions, its recall."""
        if not info.message_id:
            return []
        same = select(*INFO_COLUMNS).where(messages.c.bot == info.bot, messages.c.message_id == info.message_id)
        same = same.where(messages.c.message_id != "", messages.c.id != info.id)
        return await self.fetch(same.order_by(messages.c.created, messages.c.id).limit(LONGEST_PAGE))

    async def contents(self, page: Sequence[MessageInfo]) -> list[StoredMessage]:
        """The same messages with their content, in the same order."""
        by_day: dict[int, list[int]] = defaultdict(list)
        for info in page:
            by_day[day_of(info.created)].append(info.id)
        sealed: dict[int, bytes] = {}
        async with self.database.reading() as connection:
            for day in set(by_day) & set(await days_kept(connection)):
                numbers = ", ".join(map(str, by_day[day]))
                query = text(f"SELECT id, sealed FROM {contents_of(day)} WHERE id IN ({numbers})")
                sealed |= {row.id: bytes(row.sealed) for row in await connection.execute(query)}
        return [StoredMessage(info, sealed.get(info.id)) for info in page]

    async def count(self, bot: str | None = None) -> int:
        """How many messages are stored whose content is kept."""
        query = select(func.count()).select_from(messages).where(messages.c.state == "kept")
        if bot is not None:
            query = query.where(messages.c.bot == bot)
        async with self.database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def count_by_key(self, bot: str) -> Counter[bytes]:
        """How many contents lie under each data key, by its id. Reads all of the bot's."""
        found: Counter[bytes] = Counter()
        async with self.database.reading() as connection:
            for day in await days_kept(connection):
                # Behind the version.
                key = f"substr(contents.sealed, 2, {KEY_ID_LENGTH})"
                query = text(
                    f"SELECT {key}, count(*) FROM {contents_of(day)} AS contents "
                    f"JOIN messages ON messages.id = contents.id WHERE messages.bot = :bot GROUP BY {key}"
                )
                for key_id, count in await connection.execute(query, {"bot": bot}):
                    found[bytes(key_id)] += count
        return found

    async def recalled(self, bot: str, message_ids: Sequence[str]) -> list[str]:
        """Which of these messages were withdrawn, as far as is stored."""
        if not message_ids:
            return []
        # Written out, like the condition of the partial index.
        chosen = (messages.c.bot == bot, messages.c.message_id.in_(message_ids), text("message_id <> ''"))
        query = select(messages.c.message_id).distinct().where(*chosen, messages.c.type.in_(RECALLS))
        async with self.database.reading() as connection:
            return list(await connection.scalars(query))

    async def recall(self, bot: str, message_ids: Sequence[str]) -> int:
        """Delete what was said in messages that were withdrawn in Feishu, their edits included; how many rows."""
        chosen = (messages.c.bot == bot, messages.c.message_id.in_(message_ids), messages.c.message_id != "")
        return await self._forget(*chosen, messages.c.type.not_in(RECALLS), state="recalled")

    async def shred(self, bot: str, under: Collection[bytes] | None = None) -> int:
        """Delete the content of a bot's messages, or of those `under` data keys of these ids; how many rows."""
        order = (messages.c.created, messages.c.id)
        kept = select(*INFO_COLUMNS).where(messages.c.bot == bot, messages.c.state == "kept")
        kept = kept.order_by(*order).limit(LONGEST_PAGE)
        gone, chosen = 0, kept
        # On from the last one: from the start, each page would first pass over all that were shredded before it.
        while page := await self.fetch(chosen):
            ids = [info.id for info in page]
            if under is not None:
                ids = [
                    one.info.id for one in await self.contents(page) if one.sealed and key_id_of(one.sealed) in under
                ]
            gone += await self._forget(messages.c.id.in_(ids), state="shredded")
            chosen = kept.where(tuple_(*order) > (page[-1].created, page[-1].id))
        return gone

    async def _forget(self, *chosen: Any, state: State) -> int:
        """Delete the content of the chosen messages and say in their rows why."""
        async with self.database.writing() as connection:
            marked = update(messages).where(*chosen, messages.c.state != state).values(state=state)
            gone = (await connection.execute(marked.returning(messages.c.id, messages.c.created))).all()
            await delete_contents(connection, [(row.id, row.created) for row in gone])
        return len(gone)


async def delete_contents(connection: AsyncConnection, gone: Sequence[tuple[int, int]]) -> None:
    """Delete the content of messages, given as id and time; notes the days to be rewritten."""
    by_day: dict[int, list[int]] = defaultdict(list)
    for message, created in gone:
        by_day[day_of(created)].append(message)
    kept = set(await days_kept(connection)) & set(by_day)
    for day in kept:
        for start in range(0, len(by_day[day]), LONGEST_PAGE):
            numbers = ", ".join(map(str, by_day[day][start : start + LONGEST_PAGE]))
            await connection.execute(text(f"DELETE FROM {contents_of(day)} WHERE id IN ({numbers})"))
    await insert_new(connection, worn_days, [{"day": day} for day in kept])


async def insert_new(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows that violate no unique constraint, in one statement, in the database's own dialect."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    await connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))
