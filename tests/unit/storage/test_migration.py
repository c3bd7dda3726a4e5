"""From the schema of before, with what was stored under it, whoever comes first and whatever ends them half way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from app.storage.database import Database
from app.storage.messages import Messages
from app.storage.query import Query
from app.storage.schema import HEAD

_DAY_MS = 86_400_000
_PREPARE = (
    "import asyncio, sys, pathlib\n"
    "from app.storage.database import Database\n"
    "async def main():\n"
    "    database = Database(sys.argv[1], pathlib.Path(sys.argv[2]))\n"
    "    await database.prepare()\n"
    "    await database.close()\n"
    "sys.stdin.readline()\n"
    "asyncio.run(main())\n"
)


def _first_schema(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "app.storage:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


async def of_before(url: str, directory: Path) -> None:
    """A database of version 0.1 with forty messages of three days."""
    database = Database(url, directory)
    if database.sqlite:
        await database._make_file()
    async with database._engine.connect() as connection:
        await connection.execution_options(hub_writes=True)
        async with connection.begin():
            await connection.run_sync(_first_schema)
            insert = text(
                "INSERT INTO messages (bot, key, direction, type, chat_id, user_id, message_id, created, sealed) "
                "VALUES ('echo', :key, 'in', 'im.message.receive_v1', 'oc_1', 'ou_1', :key, :created, :sealed)"
            )
            rows = [
                {"key": f"evt_{number}", "created": number % 3 * _DAY_MS + number, "sealed": b"\x01%d" % number}
                for number in range(40)
            ]
            await connection.execute(insert, rows)
    await database.close()


async def whole(url: str, directory: Path) -> None:
    """Everything of before is there, and the store goes on behind it."""
    database = Database(url, directory)
    messages = Messages(database)
    page = await messages.search(Query(bot="echo"), limit=100)
    assert sorted(info.key for info in page) == sorted(f"evt_{number}" for number in range(40))
    for stored in await messages.contents(page):
        assert stored.sealed == b"\x01" + stored.info.key.removeprefix("evt_").encode()
    from tests.unit.storage.test_messages import ROW

    await messages.insert([ROW._replace(key="new")])
    new = (await messages.search(Query(bot="echo"), limit=1))[0]
    assert new.key == "new"
    assert new.id > max(info.id for info in page)
    async with database.reading() as connection:
        assert (await connection.scalars(text("SELECT version_num FROM alembic_version"))).all() == [HEAD]
    await database.close()


def started(url: str, directory: Path, **environment: str) -> subprocess.Popen[bytes]:
    node = subprocess.Popen(
        [sys.executable, "-c", _PREPARE, url, str(directory)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )
    assert node.stdin is not None
    node.stdin.write(b"go\n")
    node.stdin.flush()
    return node


async def test_two_hubs_that_migrate_at_once(database_url: str, tmp_path: Path) -> None:
    await of_before(database_url, tmp_path)
    nodes = [started(database_url, tmp_path) for _ in range(2)]
    ends = [(await asyncio.to_thread(node.communicate, timeout=60), node.returncode) for node in nodes]
    assert [(errors, status) for (_, errors), status in ends] == [(b"", 0)] * 2
    await whole(database_url, tmp_path)


async def test_a_migration_that_is_killed_is_done_anew(database_url: str, tmp_path: Path) -> None:
    await of_before(database_url, tmp_path)
    died = tmp_path / "died"
    first = started(database_url, tmp_path, HUB_FAILPOINT=f"in_migration:{died}")
    await asyncio.to_thread(first.communicate, timeout=60)
    assert first.returncode == -9
    assert died.exists()
    second = started(database_url, tmp_path)
    _, errors = await asyncio.to_thread(second.communicate, timeout=60)
    assert (errors, second.returncode) == (b"", 0)
    await whole(database_url, tmp_path)
