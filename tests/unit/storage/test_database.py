"""The schema comes to its head by itself, once, whoever comes first; and a database that is away says so."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from app.core.errors import ConfigError, StartError, StoreUnavailable
from app.storage.database import Database, _engine
from app.storage.schema import HEAD, upgrade
from app.storage.tables import metadata


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "app.storage:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_migrations_and_tables_say_the_same(database: Database) -> None:
    def compare(connection: Connection) -> list[object]:
        made = _made(connection)
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
        config = Config()
        config.set_main_option("script_location", "app.storage:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
        assert _made(connection) == made
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, metadata))

    async with database.writing() as connection:
        assert await connection.run_sync(compare) == []


def _made(connection: Connection) -> list[str]:
    """All that the database itself says of its tables, but what PostgreSQL names by itself."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master ORDER BY type, name"))
        return [" ".join(f"{kind} {name}: {sql}".split()) for kind, name, sql in rows]
    seen = inspect(connection)
    said = []
    for table in sorted(seen.get_table_names()):
        columns = [str(sorted(column.items(), key=str)).replace("_seq1", "_seq") for column in seen.get_columns(table)]
        said += [table, *columns, str(seen.get_pk_constraint(table)["constrained_columns"])]
        said += [str(index) for index in sorted(seen.get_indexes(table), key=str)]
    return said


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_rewrites_a_table_is_not_cut_off(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_engine, "__defaults__", (0.2,))  # the time of a command
    database = Database(database_url, tmp_path)
    slow = text("SELECT pg_sleep(0.4)")
    with pytest.raises(StoreUnavailable):
        async with database.writing() as connection:
            await connection.execute(slow)
    async with database.rewriting() as connection:
        await connection.execute(slow)
    await database.close()


async def test_nodes_that_start_at_once_migrate_once(database_url: str, tmp_path: Path) -> None:
    nodes = [Database(database_url, tmp_path) for _ in range(4)]
    await asyncio.gather(*(node.prepare() for node in nodes))
    async with nodes[0].reading() as connection:
        versions = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
    assert versions == [HEAD]
    for node in nodes:
        await node.close()


def test_processes_that_start_at_once_migrate_once(database_url: str, tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from app.storage.database import Database\n"
        "async def main():\n"
        "    database = Database(sys.argv[1], pathlib.Path(sys.argv[2]))\n"
        "    sys.stdin.readline()\n"
        "    await database.prepare()\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, database_url, str(tmp_path)]
    nodes = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for node in nodes:
        assert node.stdin is not None
        node.stdin.write(b"go\n")
        node.stdin.flush()
    ends = [(node.communicate(timeout=60)[1], node.returncode) for node in nodes]
    assert ends == [(b"", 0)] * 4


async def test_neither_a_new_schema_nor_one_at_its_head_needs_alembic(database_url: str, tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from app.storage.database import Database\n"
        "database = Database(sys.argv[1], pathlib.Path(sys.argv[2]))\n"
        "async def main():\n"
        "    await database.prepare()\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
        "assert 'alembic' not in sys.modules\n"
    )
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, database_url, str(tmp_path))
        assert await process.wait() == 0


async def test_a_migration_that_is_cut_off_leaves_nothing_behind(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(connection: Connection, place: str) -> None:
        upgrade(connection, place)
        raise KeyError("killed before the commit")

    database = Database(database_url, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("app.storage.database.upgrade", die)
        with pytest.raises(KeyError):
            await database.prepare()
    async with database._engine.connect() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == []
    await database.prepare()
    async with database.reading() as connection:
        assert set(metadata.tables) < set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
    await database.close()


async def test_a_schema_of_a_newer_hub_is_refused(database: Database, database_url: str, tmp_path: Path) -> None:
    async with database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    older = Database(database_url, tmp_path)
    with pytest.raises(StartError, match="schema 9999, which this hub does not know"):
        await older.prepare()
    await older.close()


async def test_a_transaction_that_fails_writes_nothing(database: Database) -> None:
    async def write_twice() -> None:
        statement = text("INSERT INTO data_keys VALUES ('echo', '00', :wrapped, 0)")
        async with database.writing() as connection:
            await connection.execute(statement, {"wrapped": b"x"})
            await connection.execute(statement, {"wrapped": b"y"})

    with pytest.raises(StoreUnavailable):
        await write_twice()
    async with database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM data_keys"))).scalar_one() == 0


async def test_no_value_of_a_failed_statement_is_shown(database: Database) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        async with database.writing() as connection:
            await connection.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": "a secret"})
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "nowhere" in shown
    assert "secret" not in shown


async def test_sqlite_files_are_private_and_synced(tmp_path: Path) -> None:
    database = Database("sqlite", tmp_path / "data")
    async with database.writing() as connection:
        await connection.execute(text("INSERT INTO data_keys VALUES ('echo', '00', x'00', 0)"))
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        full = 2
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar_one() == full
    files = sorted((tmp_path / "data").glob("hub.db*"))
    assert [file.name for file in files] == ["hub.db", "hub.db-shm", "hub.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    await database.close()


async def test_a_database_that_is_away_is_unavailable_and_used_when_it_is_back(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a directory should be")
    database = Database("sqlite", tmp_path / "data")
    with pytest.raises(StoreUnavailable, match=r"hub\.db"):
        await database.prepare()
    (tmp_path / "data").unlink()
    await database.prepare()
    await database.close()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_text("no database" * 1000)
    database = Database("sqlite", tmp_path)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await database.prepare()
    await database.close()


@pytest.mark.parametrize("url", ["mysql://hub:secret@host/db", "not a url", "postgresql+psycopg2://x/y"])
def test_other_urls_are_refused_without_their_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"database\.url") as caught:
        Database(url, tmp_path)
    assert "secret" not in str(caught.value)


async def test_a_postgresql_that_is_away_is_unavailable(tmp_path: Path) -> None:
    database = Database("postgresql://hub:secret@127.0.0.1:1/hub?sslmode=disable", tmp_path)
    with pytest.raises(StoreUnavailable, match=r"PostgreSQL at 127\.0\.0\.1") as caught:
        await database.prepare()
    assert "secret" not in str(caught.value)
    await database.close()


def test_a_missing_driver_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StartError, match="pip install asyncpg"):
        Database("postgresql://host/db", tmp_path)
