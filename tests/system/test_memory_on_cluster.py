"""Cache, tasks and timers on a Redis Cluster: every step keeps to one slot, and news reach every process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import cast

import pytest

from app.control.scheduler.firing import Firing
from app.core.keys import Keys
from app.core.redis import connect
from app.model.schedule import Schedule
from app.queue.ledger import Ledgers
from app.queue.mailbox import Mailbox
from app.queue.tasks import Tasks
from app.queue.timetable import Timetable
from app.storage.cache import CacheTiers
from app.storage.cache_counts import cache_stats
from app.storage.keyring import Keyring
from tests.redis_servers import Server
from tests.system.test_redis_arrangements import cluster, cluster_url
from tests.unit.channel.parts import OneKey
from tests.unit.queue.test_ledger import claimed
from tests.unit.worker.kit import Bots, spec
from tests.waiting import PATIENCE, until

__all__ = ["cluster"]

pytestmark = pytest.mark.system

BOTS = [f"bot{number}" for number in range(12)]


async def test_cache_tasks_and_timers(cluster: list[Server]) -> None:
    keyring = cast(Keyring, OneKey())
    async with AsyncExitStack() as closing:
        links = [await connect(cluster_url(cluster)) for _ in range(2)]
        for link in links:
            closing.push_async_callback(link.close)
        link, keys = links[0], Keys()

        here, there = (CacheTiers(one, keys, keyring) for one in links)
        for one in (here, there):
            await closing.enter_async_context(one.running())
        await until(lambda: here.changes and there.changes)

        async def load() -> int:
            return 1

        for bot in BOTS:
            assert await here.of(bot).get_or_load("k", load) == 1
            assert await there.of(bot).get("k") == 1
            await there.of(bot).set("k", 2)
        await until(lambda: here.memory.currsize == 0)
        assert [await here.of(bot).get("k") for bot in BOTS] == [2] * len(BOTS)
        await here.counts.tell()
        assert (await cache_stats(link, keys))["loader"] == {"hit": len(BOTS)}

        work, tasks, ledgers = await claimed(link, keys), Tasks(link, keys), Ledgers(link, keys)
        assert await ledgers.state_swap(work, "bot:n", None, b"x", 30.0, keep_ttl=True) == (True, b"x")
        assert await ledgers.state_swap(work, "bot:n", None, b"y", 30.0, keep_ttl=True) == (False, b"x")
        await tasks.update(work, "report", "running", 0.5, b"", 600.0)
        following = asyncio.create_task(_last(tasks))
        await tasks.update(work, "report", "done", None, b"", 600.0)
        assert await asyncio.wait_for(following, PATIENCE) == "done"

        timetable, mailbox = Timetable(link, keys), Mailbox(link, keys)
        await Mailbox(link, keys).finish(work)
        for bot in BOTS:
            await timetable.plan(bot, [Schedule("tick", "0 9 * * *", "UTC")])
            now = await timetable.now(bot)
            await link.commands.zadd(keys.bot(bot, "timers"), {"s:tick": now * 1000})
        await timetable.mend(BOTS)
        nodes = [Firing(timetable, mailbox, keyring, Bots(*map(spec, BOTS))) for _ in range(2)]
        await asyncio.gather(*(node.fire_due() for node in nodes))
        assert [await mailbox.depth(bot) for bot in BOTS] == [1] * len(BOTS)


async def _last(tasks: Tasks) -> str:
    return [task.status async for task in tasks.watch("echo", "report")][-1]
