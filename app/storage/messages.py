"""The message store: what came in and went out, content sealed, ids in clear so that it can be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from sqlalchemy import Row, Table, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.database import Database
from app.storage.tables import messages

Direction = Literal["in", "out"]

LONGEST_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One message to store; `key` is unique in its bot and part of the seal."""

    bot: str
    key: str
    direction: Direction
    type: str
    chat_id: str
    user_id: str
    message_id: str
    created: int
    """Milliseconds since the epoch."""
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """What is known of a stored message without opening it."""

    id: int
    bot: str
    key: str
    direction: Direction
    type: str
    chat_id: str
    user_id: str
    message_id: str
    created: int
    """Milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A stored message with its sealed content."""

    info: MessageInfo
    sealed: bytes = field(repr=False)


_NEW_FIELDS: Final = tuple(field.name for field in fields(NewMessage))
_INFO_COLUMNS: Final = tuple(messages.c[field.name] for field in fields(MessageInfo))


class Messages:
    """The table `messages`; every call raises StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, rows: Sequence[NewMessage]) -> None:
        """Store all of `rows` in one transaction; those already there stay as they are."""
        if not rows:
            return
        values = [{name: getattr(row, name) for name in _NEW_FIELDS} for row in rows]
        async with self._database.writing() as connection:
            await insert_new(connection, messages, values)

    async def list(
        self, bot: str | None = None, chat: str | None = None, *, before: int | None = None, limit: int = 50
    ) -> list[MessageInfo]:
        """A page of a chat or bot, newest first; without a bot the last that were stored, of all bots.

        `before` is the id of the last message of the page before. ValueError for a chat without a bot.
        """
        if chat is not None and bot is None:
            raise ValueError("a chat is looked up within a bot")
        query = select(*_INFO_COLUMNS).limit(min(limit, LONGEST_PAGE))
        if bot is None:
            query = query.order_by(messages.c.id.desc())
            if before is not None:
                query = query.where(messages.c.id < before)
        else:
            order = (messages.c.created, messages.c.id)
            query = query.where(messages.c.bot == bot).order_by(*(column.desc() for column in order))
            if chat is not None:
                query = query.where(messages.c.chat_id == chat)
            if before is not None:
                last = select(*order).where(messages.c.id == before).scalar_subquery()
                query = query.where(tuple_(*order) < last)
        async with self._database.reading() as connection:
            return [_info(row) for row in await connection.execute(query)]

    async def show(self, message: int) -> StoredMessage | None:
        """The message of that id, if there is one."""
        query = select(*_INFO_COLUMNS, messages.c.sealed).where(messages.c.id == message)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else StoredMessage(_info(row), bytes(row.sealed))

    async def count(self, bot: str | None = None) -> int:
        """How many messages are stored."""
        query = select(func.count()).select_from(messages)
        if bot is not None:
            query = query.where(messages.c.bot == bot)
        async with self._database.reading() as connection:
            return int((await connection.execute(query)).scalar_one())


async def insert_new(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows that break no unique bound, in one statement, in the database's own dialect."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    await connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))


def _info(row: Row[*tuple[Any, ...]]) -> MessageInfo:
    return MessageInfo(**{field.name: getattr(row, field.name) for field in fields(MessageInfo)})
