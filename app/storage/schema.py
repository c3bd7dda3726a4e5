"""Which revision the database's schema has, and how it gets to the one that this hub needs."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, text

from app.core.errors import StartError
from app.core.failpoint import failpoint
from app.storage.tables import metadata

# The newest revision in migrations/versions; a test holds the two together.
HEAD: Final = "0003"

# As Alembic makes it.
_VERSION: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def current_revision(connection: Connection) -> str | None:
    """The revision the schema has; None in an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def upgrade(connection: Connection, place: str) -> None:
    """Bring the schema to HEAD in the transaction that is open; StartError when it is of a newer hub."""
    # Asked again: while this node waited for the lock another may have done the work.
    revision = current_revision(connection)
    if revision == HEAD:
        return
    if revision is None:
        _create(connection)
    else:
        _migrate(connection, revision, place)
    failpoint("in_migration")


def _create(connection: Connection) -> None:
    # Not by the migrations, to which a test holds it equal: Alembic takes half a second, and 10 MB for good.
    metadata.create_all(connection, checkfirst=False)
    _VERSION.create(connection, checkfirst=True)
    connection.execute(_VERSION.insert().values(version_num=HEAD))


def _migrate(connection: Connection, revision: str, place: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # By package, so that it is found wherever the hub is installed.
    config.set_main_option("script_location", "app.storage:migrations")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision not in known:
        raise StartError(
            f"the database ({place}) has schema {revision}, which this hub does not know: a newer hub has "
            "used it; run that version or a later one"
        )
    command.upgrade(config, HEAD)
