"""Every type is indexed: what bots sent of a rare type was found only by going through all that the bot had."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = ["bot", "type", "created", "id"]


def upgrade() -> None:
    op.drop_index("ix_messages_type", "messages")
    op.create_index("ix_messages_type", "messages", _COLUMNS)


def downgrade() -> None:
    rare = sa.text("direction = 'in' AND type <> 'im.message.receive_v1'")
    op.drop_index("ix_messages_type", "messages")
    op.create_index("ix_messages_type", "messages", _COLUMNS, sqlite_where=rare, postgresql_where=rare)
