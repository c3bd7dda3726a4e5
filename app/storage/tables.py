"""The database's tables, as SQLAlchemy Core knows them; the migrations hold the same.

What was said lies apart from what is known of it, in tables of one day each (`app/storage/days.py`): they are dropped
whole when it is time, which is what leaves nothing of it in any file.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

metadata: Final = MetaData()

# Only a column of type INTEGER is SQLite's own row id, and counts by itself.
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")


def _index(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


messages: Final = Table(
    "messages",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("bot", Text, nullable=False),
    Column("key", Text, nullable=False, comment="event id, or a sent message's own name; part of the seal"),
    Column("direction", Text, nullable=False, comment="in or out"),
    Column("type", Text, nullable=False, comment="event type, or message type of what was sent"),
    Column("chat_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("created", BigInteger, nullable=False, comment="milliseconds since the epoch"),
    Column("state", Text, nullable=False, server_default="kept", comment="kept, recalled or shredded"),
    Index("uq_messages_bot_key", "bot", "key", unique=True),
    # These are read backwards for the newest page; the id settles equal times.
    Index("ix_messages_chat", "bot", "chat_id", "created", "id"),
    Index("ix_messages_bot", "bot", "created", "id"),
    _index("ix_messages_user", "bot", "user_id", "created", "id", where="user_id <> ''"),
    Index("ix_messages_type", "bot", "type", "created", "id"),
    # A message with its edits, reactions and recall.
    _index("ix_messages_message", "bot", "message_id", where="message_id <> ''"),
    # An id is never given twice: the audit names messages by it.
    sqlite_autoincrement=True,
)

data_keys: Final = Table(
    "data_keys",
    metadata,
    Column("bot", Text, nullable=False),
    Column("key_id", Text, nullable=False, comment="4 bytes in hexadecimal"),
    Column("wrapped", LargeBinary, nullable=False, comment="under the master key"),
    Column("created", BigInteger, nullable=False, comment="milliseconds since the epoch"),
    PrimaryKeyConstraint("bot", "key_id", name="pk_data_keys"),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("created", BigInteger, nullable=False, comment="milliseconds since the epoch"),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False, comment="show, export, words, dead or shred"),
    Column("bot", Text, nullable=False),
    Column("which", Text, nullable=False, comment="ids of the messages that were opened"),
    Column("why", Text, nullable=False),
    sqlite_autoincrement=True,
)

worn_days: Final = Table(
    "worn_days",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False, comment="days since the epoch"),
    comment="days from whose tables something was deleted that still lies in their files",
)

turns: Final = Table(
    "turns",
    metadata,
    Column("name", Text, primary_key=True, comment="a task that one node does at a time"),
    Column("next", BigInteger, nullable=False, comment="when it is due, milliseconds since the epoch"),
)
