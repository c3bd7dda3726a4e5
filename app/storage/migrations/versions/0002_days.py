"""What was said goes into tables of one day each; search by sender, type and message; audit, turns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.core.errors import HubError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_COLUMNS = "id, bot, key, direction, type, chat_id, user_id, message_id, created"


def upgrade() -> None:
    op.rename_table("messages", "messages_0001")
    op.create_table(
        "messages",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("bot", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False, comment="event id, or a sent message's own name; part of the seal"),
        sa.Column("direction", sa.Text, nullable=False, comment="in or out"),
        sa.Column("type", sa.Text, nullable=False, comment="event type, or message type of what was sent"),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False, comment="milliseconds since the epoch"),
        sa.Column("state", sa.Text, nullable=False, server_default="kept", comment="kept, recalled or shredded"),
        sqlite_autoincrement=True,
    )
    _move()
    op.drop_table("messages_0001")
    op.create_index("uq_messages_bot_key", "messages", ["bot", "key"], unique=True)
    op.create_index("ix_messages_chat", "messages", ["bot", "chat_id", "created", "id"])
    op.create_index("ix_messages_bot", "messages", ["bot", "created", "id"])
    _partial("ix_messages_user", ["bot", "user_id", "created", "id"], "user_id <> ''")
    rare = "direction = 'in' AND type <> 'im.message.receive_v1'"
    _partial("ix_messages_type", ["bot", "type", "created", "id"], rare)
    _partial("ix_messages_message", ["bot", "message_id"], "message_id <> ''")
    op.create_table(
        "audit",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("created", sa.BigInteger, nullable=False, comment="milliseconds since the epoch"),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False, comment="show, export, words, dead or shred"),
        sa.Column("bot", sa.Text, nullable=False),
        sa.Column("which", sa.Text, nullable=False, comment="ids of the messages that were opened"),
        sa.Column("why", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "worn_days",
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False, comment="days since the epoch"),
        comment="days from whose tables something was deleted that still lies in their files",
    )
    op.create_table(
        "turns",
        sa.Column("name", sa.Text, primary_key=True, comment="a task that one node does at a time"),
        sa.Column("next", sa.BigInteger, nullable=False, comment="when it is due, milliseconds since the epoch"),
    )


def downgrade() -> None:
    raise HubError(
        "schema 0002 is not undone: what was said lies in tables of a day each, which an older hub does not know. "
        "Go on with this hub, or bring back the backup made before it (`feishu-hub restore`; on PostgreSQL pg_restore)"
    )


def _move() -> None:
    """The messages of before, their content by the day on which they came."""
    connection = op.get_bind()
    connection.execute(sa.text(f"INSERT INTO messages ({_COLUMNS}) SELECT {_COLUMNS} FROM messages_0001"))
    postgresql = connection.dialect.name == "postgresql"
    types = "id BIGINT PRIMARY KEY, sealed BYTEA" if postgresql else "id INTEGER PRIMARY KEY, sealed BLOB"
    days = connection.scalars(sa.text("SELECT DISTINCT created / 86400000 FROM messages_0001")).all()
    for day in days:
        connection.execute(sa.text(f"CREATE TABLE contents_{day} ({types} NOT NULL)"))
        if postgresql:
            connection.execute(sa.text(f"ALTER TABLE contents_{day} ALTER COLUMN sealed SET STORAGE EXTERNAL"))
        moved = f"INSERT INTO contents_{day} SELECT id, sealed FROM messages_0001 WHERE created / 86400000 = {day}"
        connection.execute(sa.text(moved))
    if postgresql:
        last = "SELECT setval(pg_get_serial_sequence('messages', 'id'), (SELECT max(id) FROM messages))"
        connection.execute(sa.text(last))


def _partial(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "messages", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
