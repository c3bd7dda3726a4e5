"""The database's tables, as SQLAlchemy Core knows them; the migrations hold the same."""

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
    UniqueConstraint,
)

metadata: Final = MetaData()

messages: Final = Table(
    "messages",
    metadata,
    # Only a column of type INTEGER is SQLite's own row id, and counts by itself.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("bot", Text, nullable=False),
    Column("key", Text, nullable=False, comment="event id, or a sent message's own name; part of the seal"),
    Column("direction", Text, nullable=False, comment="in or out"),
    Column("type", Text, nullable=False, comment="event type, or message type of what was sent"),
    Column("chat_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("created", BigInteger, nullable=False, comment="milliseconds since the epoch"),
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("bot", "key", name="uq_messages_bot_key"),
    # Both are read backwards for the newest page, of a chat and of a bot; the id settles equal times.
    Index("ix_messages_chat", "bot", "chat_id", "created", "id"),
    Index("ix_messages_bot", "bot", "created", "id"),
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
