"""Messages and wrapped data keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("bot", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False, comment="event id, or a sent message's own name; part of the seal"),
        sa.Column("direction", sa.Text, nullable=False, comment="in or out"),
        sa.Column("type", sa.Text, nullable=False, comment="event type, or message type of what was sent"),
        sa.Column("chat_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False, comment="milliseconds since the epoch"),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("bot", "key", name="uq_messages_bot_key"),
    )
    op.create_index("ix_messages_chat", "messages", ["bot", "chat_id", "created", "id"])
    op.create_index("ix_messages_bot", "messages", ["bot", "created", "id"])
    op.create_table(
        "data_keys",
        sa.Column("bot", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False, comment="4 bytes in hexadecimal"),
        sa.Column("wrapped", sa.LargeBinary, nullable=False, comment="under the master key"),
        sa.Column("created", sa.BigInteger, nullable=False, comment="milliseconds since the epoch"),
        sa.PrimaryKeyConstraint("bot", "key_id", name="pk_data_keys"),
    )


def downgrade() -> None:
    op.drop_table("data_keys")
    op.drop_table("messages")
