"""Redis is paused, refuses writes or dies: every request is answered 200 or 503 in time, and no 200 is a lie."""

from __future__ import annotations

import asyncio
import mmap
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from app.core.redis import RedisLink, connect
from app.storage.master_key import new_key
from tests.faults.redis_server import ExternalRedis
from tests.faults.small_disk import fill, small_disk_at
from tests.faults.traffic import CHATS, Traffic
from tests.system.hub_process import HubProcess
from tests.system.world import CODE, NO_LIMITS, Site
from tests.waiting import until

pytestmark = pytest.mark.faults


@asynccontextmanager
async def running(
    site: Site, *, env: dict[str, str] | None = None, node: str = "node", **settings: object
) -> AsyncIterator[tuple[HubProcess, Traffic]]:
    """A hub with two bots and traffic, which has begun to be answered."""
    if "echo" not in site.apps:
        site.bot("echo")
        site.bot("plain", encrypted=False)
    site.playground.limits.enabled = False
    site.settings(limits=NO_LIMITS, **settings)
    hub = site.hub(node, env=env)
    await hub.start()
    site.point_at(hub)
    traffic = Traffic(site, hub)
    traffic.begin()
    await until(lambda: len(site.playground.ledger.accepted) >= 2 * CHATS)
    yield hub, traffic


@asynccontextmanager
async def engine_of(hub: HubProcess) -> AsyncIterator[RedisLink]:
    link = await connect(hub.engine_url)
    try:
        yield link
    finally:
        await link.close()


async def is_at(hub: HubProcess, place: str) -> bool:
    """Whether the public health page says that events are kept there."""
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}/readyz") as answer:
        return str((await answer.json())["status"]) == place


async def recovered(site: Site, hub: HubProcess) -> None:
    """Return once events can be kept in Redis again, and bring at once what was refused meanwhile."""
    await until(lambda: is_at(hub, "ready"))
    site.clock.hurry()


async def test_engine_is_paused(site: Site) -> None:
    async with running(site) as (hub, traffic):
        [engine] = hub.children()["engine"]
        engine.suspend()
        await until(lambda: is_at(hub, "degraded"))
        await traffic.go_on(10)
        engine.resume()
        await recovered(site, hub)
        await traffic.go_on(1)
        await traffic.end()
        assert traffic.refused() == 0, "the spool takes what Redis cannot"
        await traffic.proves_itself(hub)


async def test_engine_is_paused_and_there_is_no_spool(site: Site) -> None:
    async with running(site, spool=False) as (hub, traffic):
        [engine] = hub.children()["engine"]
        await traffic.hush()
        engine.suspend()
        await until(lambda: is_at(hub, "unavailable"))
        traffic.speak()
        await traffic.go_on(3)
        engine.resume()
        await recovered(site, hub)
        await traffic.go_on(1)
        await traffic.end()
        assert traffic.refused() > 0
        await traffic.proves_itself(hub)


@pytest.mark.parametrize("setting", [("maxmemory", "1"), ("min-replicas-to-write", "1")], ids=lambda one: str(one[0]))
async def test_engine_refuses_writes(site: Site, setting: tuple[str, str]) -> None:
    name, value = setting
    async with running(site) as (hub, traffic), engine_of(hub) as link:
        was = str((await link.commands.config_get(name))[name])
        await link.commands.config_set(name, value)
        await until(lambda: is_at(hub, "degraded"))
        await traffic.go_on(4)
        await link.commands.config_set(name, was)
        await recovered(site, hub)
        await traffic.go_on(1)
        await traffic.end()
        assert traffic.refused() == 0
        await traffic.proves_itself(hub)


async def test_a_full_engine_empties_itself(site: Site) -> None:
    """What fills it is a bot that cannot be handled; others' mail is, and what comes new waits in the spool."""
    site.handler("late", "raise RuntimeError('not yet')")
    site.bot("late", handler="late")
    async with running(site) as (hub, traffic), engine_of(hub) as link:
        await traffic.end()
        assert all([(await site.says("late", "x" * 100_000)).deliveries[0].acked for _ in range(12)])
        [worker] = hub.children()["worker"]
        worker.suspend()
        before = await site.says("echo", "accepted before")
        used = int((await link.commands.info("memory"))["used_memory"])
        await link.commands.config_set("maxmemory", used - (1 << 19))
        behind = await site.says("echo", "comes when it is full", "Bob")
        worker.resume()
        await until(lambda: site.replies(before))
        assert await is_at(hub, "degraded")
        assert behind.deliveries[0].acked
        assert not site.replies(behind)

        site.handler("late", CODE)
        await hub.api("POST", "/bots/reload")
        await until(lambda: is_at(hub, "ready"))
        traffic.said += [before, behind]
        await traffic.proves_itself(hub)


async def test_engine_dies_again_and_again(site: Site) -> None:
    async with running(site) as (hub, traffic):
        for _ in range(5):
            await until(lambda: hub.children()["engine"])
            hub.children()["engine"][0].kill()
            await traffic.go_on(1)
        await recovered(site, hub)
        await traffic.end()
        assert traffic.refused() == 0
        await traffic.proves_itself(hub)


async def test_external_redis_is_killed_and_comes_back(site: Site) -> None:
    async with ExternalRedis() as redis:
        env = {"HUB_REDIS_URL": redis.url, "HUB_MASTER_KEY": new_key()}
        async with running(site, env=env) as (hub, traffic):
            await redis.kill()
            await until(lambda: is_at(hub, "degraded"))
            await traffic.go_on(4)
            await redis.start()
            await recovered(site, hub)
            await traffic.go_on(1)
            await traffic.end()
            assert traffic.refused() == 0
            await traffic.proves_itself(hub)


async def test_nodes_start_while_redis_is_away_and_one_has_a_wrong_master_key(site: Site) -> None:
    async with ExternalRedis() as redis:
        env = {"HUB_REDIS_URL": redis.url, "HUB_MASTER_KEY": new_key()}
        async with running(site, env=env) as (hub, traffic):
            await traffic.end()
            await hub.stop()
            await redis.kill()
            site.bot("new")
            wrong = site.hub("wrong", env={**env, "HUB_MASTER_KEY": new_key()})
            await asyncio.gather(hub.start(), wrong.start())
            said = await site.says("echo", "nobody hears me yet")
            assert said.deliveries[0].acked
            assert site.replies(said) == []
            site.point_at(wrong)
            chat = site.chat("new")
            refused = await site.playground.user_says(chat.users[0], chat, "under which key?")
            await until(lambda: refused.deliveries[0].attempts)
            await redis.start()
            assert await wrong.ended() == 1
            assert "is not the cluster's" in wrong.said()
            assert "new data key made" not in wrong.said()
            site.point_at(hub)
            traffic.said.append(said)
            await traffic.proves_itself(hub)


async def test_spool_is_full(site: Site) -> None:
    """Only the bound of the spool is full here: its disk is the next test's matter."""
    async with running(site, spool={"max_size": "1MiB"}) as (hub, traffic):
        [engine] = hub.children()["engine"]
        engine.suspend()
        site.playground.deliveries.speed = 20_000  # who is refused comes again at once: there is no lull
        big = site.chat("echo", "one who writes much")
        long = [await site.playground.user_says(big.users[0], big, "x" * 10_000) for _ in range(150)]
        await until(lambda: is_at(hub, "unavailable"))
        await traffic.go_on(2)
        engine.resume()
        await recovered(site, hub)
        await traffic.go_on(1)
        await traffic.end()
        # Written at once, they arrived in no order; all else of them is as of the others.
        assert traffic.refused() > 0
        await traffic.proves_itself(hub, apart_from=big)
        assert all(said.deliveries[0].acked <= len(site.replies(said)) <= 1 for said in long)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """For what a node keeps."""
    with small_disk_at(tmp_path / "disk") as path:
        yield path
        for log in path.glob("*.log"):
            shutil.copy(log, tmp_path)


async def test_disk_is_full(site: Site, small_disk: Path) -> None:
    """Redis is away and the node's own disk takes nothing more."""
    async with ExternalRedis() as redis:
        env = {"HUB_REDIS_URL": redis.url, "HUB_MASTER_KEY": new_key()}
        # Its log is on the full disk too.
        async with running(site, env=env, node=str(small_disk / "node")) as (hub, traffic):
            redis.signal(signal.SIGSTOP)
            assert hub.log is not None
            fill_up(small_disk / "ballast", hub.log)
            await until(lambda: is_at(hub, "unavailable"))
            await traffic.go_on(4)
            (small_disk / "ballast").unlink()
            redis.signal(signal.SIGCONT)
            await recovered(site, hub)
            await traffic.go_on(1)
            await traffic.end()
            assert traffic.refused() > 0
            await traffic.proves_itself(hub)


def fill_up(ballast: Path, log: Path) -> None:
    """Leave no room, not even in the last page of the log."""
    with log.open("ab") as file:
        file.write(b"\n" * (-log.stat().st_size % mmap.PAGESIZE))
    fill(ballast)


async def test_full_disk_ends_nobody_while_redis_is_there(site: Site, small_disk: Path) -> None:
    """Events go their way; what the processes count lies in memory that no full disk can take from them."""
    bots = [f"bot{number}" for number in range(8)]
    for bot in bots:
        site.bot(bot)
    async with ExternalRedis() as redis:
        env = {"HUB_REDIS_URL": redis.url, "HUB_MASTER_KEY": new_key()}
        hub = site.hub(str(small_disk / "node"), env=env)
        await hub.start()
        site.point_at(hub)
        assert await site.asks("bot0", "before") == "echo before"
        workers = {process.pid for process in hub.children()["worker"]}
        assert hub.log is not None
        fill_up(small_disk / "ballast", hub.log)
        for bot in bots:
            assert await site.asks(bot, "hello") == "echo hello"
        assert {process.pid for process in hub.children()["worker"]} == workers
        assert hub.running
        (small_disk / "ballast").unlink()
