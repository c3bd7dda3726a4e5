"""The database is cut off under load, or has no room: events flow on, the archive catches up, nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import event

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.storage.database import Database
from app.storage.messages import Messages
from app.storage.overflow import FILE_NAME
from app.storage.query import Query
from tests.faults.small_disk import fill, small_disk_at
from tests.faults.test_outage import running
from tests.faults.traffic import Traffic
from tests.postgres_server import PostgresServer
from tests.system.hub_process import HubProcess
from tests.system.world import Site, site_at
from tests.unit.storage.house import House, entry
from tests.waiting import until

pytestmark = pytest.mark.faults

_ROOM = 96 << 20
"""What a node may take more than before while the database is away, in bytes."""


@pytest.fixture
async def fragile(postgres_programs: None, tmp_path: Path) -> AsyncIterator[tuple[Site, PostgresServer]]:
    """A site whose hubs keep their messages on a PostgreSQL of the test's own."""
    with PostgresServer("fsync=off", "shared_buffers=32MB") as server:
        async with site_at(tmp_path, server.url()) as site:
            yield site, server


async def test_database_is_away(fragile: tuple[Site, PostgresServer], request: pytest.FixtureRequest) -> None:
    """For a minute with `--long`; the bound of what may wait in Redis is low, so that the disk is used too."""
    site, server = fragile
    async with running(site, archive={"max_lag": 200}) as (hub, traffic):
        before = memory(hub)
        server.stop()
        await traffic.go_on(60 if request.config.getoption("--long") else 6)
        waiting = hub.data_dir / FILE_NAME
        await until(waiting.exists)
        grown = memory(hub) - before
        server.start()
        await traffic.go_on(1)
        await traffic.end()
        assert traffic.refused() == 0, "the archive is nothing that Feishu waits for"
        await traffic.proves_itself(hub)
        assert grown < _ROOM, f"{grown >> 20} MiB"
        await all_is_stored(site, server, hub, traffic)


async def all_is_stored(site: Site, server: PostgresServer, hub: HubProcess, traffic: Traffic) -> None:
    """What came in and each answer to it is in the store, once, and nothing left behind on the disk."""
    database = Database(server.url(), site.root)
    messages = Messages(database)

    async def caught_up() -> bool:
        return await messages.count() == 2 * len(traffic.said) and not (hub.data_dir / FILE_NAME).exists()

    await until(caught_up)
    page = await messages.search(Query(bot="echo"), limit=1000)
    assert len({info.key for info in page}) == len(page)
    await database.close()
    assert await hub.stop() == 0
    assert "Traceback" not in hub.said()


async def test_the_disk_under_postgresql_is_full(
    fragile: tuple[Site, PostgresServer], request: pytest.FixtureRequest
) -> None:
    """Its tables find no room while its log does: what does not fit waits, and goes in when there is room again."""
    site, server = fragile
    with small_disk_at(server.directory / "tables") as disk:
        server.keep_tables_in(disk)
        async with running(site, archive={"max_lag": 200}) as (hub, traffic):
            fill(disk / "ballast")
            await traffic.go_on(60 if request.config.getoption("--long") else 3)
            await until((hub.data_dir / FILE_NAME).exists)
            assert "No space left on device" in server.log
            (disk / "ballast").unlink()
            await traffic.go_on(1)
            await traffic.end()
            assert traffic.refused() == 0, "the archive is nothing that Feishu waits for"
            await traffic.proves_itself(hub)
            await all_is_stored(site, server, hub, traffic)
        server.stop()


def memory(hub: HubProcess) -> int:
    return int(psutil.Process(hub.pid).memory_info().rss)


async def test_the_databases_disk_is_full(link: RedisLink, keys: Keys, tmp_path: Path) -> None:
    """What does not fit waits, in Redis and then on the other disk, and goes in as soon as there is room."""
    database = Database("sqlite", tmp_path)
    pages = 40

    def bounded(connection: Any, _record: object, _proxy: object) -> None:
        connection.cursor().execute(f"PRAGMA max_page_count = {pages}")

    event.listen(database._engine.sync_engine, "checkout", bounded)
    house = House(link, keys, Messages(database), tmp_path)
    sealed = entry(0).sealed + bytes(2000)
    async with house.running(house.archiver(max_lag=300)) as archiver:
        for start in range(0, 1000, 100):
            await house.put("echo", *(entry(number)._replace(sealed=sealed) for number in range(start, start + 100)))
        await until(lambda: archiver.away is not None)
        assert "full" in str(archiver.away)
        await until(lambda: archiver.counts["overflowed"] > 0)
        stored = await house.messages.count()
        assert stored < 1000
        pages = 100_000
        await until(house.stored(1000))
        await until(house.nothing_waits)
        await until(lambda: not house.overflow_path.exists())
    assert archiver.away is None
    await database.close()
