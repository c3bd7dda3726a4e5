"""Runs migrations on the connection that the hub hands over, inside the hub's own transaction."""

from __future__ import annotations

from alembic import context

from app.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most things of a table in place.
    render_as_batch=True,
)
context.run_migrations()
