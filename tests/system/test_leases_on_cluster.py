"""Claims on a Redis Cluster: a node that hangs ends none but those that it holds."""

from __future__ import annotations

import asyncio
import signal
from contextlib import closing

import pytest
from redis.asyncio import RedisCluster

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.core.redis_thread import connect_in_thread
from app.queue.leases import Leases, keep_alive
from app.queue.mailbox import Mailbox
from app.queue.work import Receipt, Work
from tests.redis_servers import Server
from tests.system import test_redis_arrangements as arrangements
from tests.unit.queue.incoming import incoming
from tests.waiting import until

pytestmark = pytest.mark.system
cluster = arrangements.cluster

KEYS = Keys()
BOTS = [f"bot{number}" for number in range(12)]


async def test_claims_go_on_where_the_cluster_does(cluster: list[Server]) -> None:
    url = arrangements.cluster_url(cluster)
    async with arrangements.linked(url) as link:
        assert isinstance(link.commands, RedisCluster)
        await until(lambda: accepted(link))
        for server in cluster:
            async with arrangements.linked(server.url) as node:
                await node.commands.config_set("cluster-require-full-coverage", "no")
        works = [work for bot in BOTS for work in await Mailbox(link, KEYS).take(bot, "n1", 1)]
        leases = Leases(link, KEYS)
        await leases.sweep(BOTS)
        ports = {work.bot: port_of(link, work.bot) for work in works}
        down = cluster[0].port
        works.sort(key=lambda work: ports[work.bot] != down)  # those of the node that hangs come first
        others = [work for work in works if ports[work.bot] != down]
        assert 0 < len(others) < len(works)

        with closing(connect_in_thread(url)) as client:
            keep_alive(client, KEYS, works)
            await run_out(link, others)
            cluster[0].signal(signal.SIGSTOP)
            try:
                assert await asyncio.to_thread(keep_alive, client, KEYS, works) == []
                assert not await free(link, others)
                await run_out(link, others)
                assert await leases.extend(works) == []
                assert not await free(link, others)
                await run_out(link, others)
                swept = await leases.sweep(BOTS)
                assert swept.expired + swept.reprieved == len(others)
            finally:
                cluster[0].signal(signal.SIGCONT)


async def accepted(link: RedisLink) -> bool:
    """The nodes have only just met: some do not take writes yet."""
    receipts = await Mailbox(link, KEYS).accept([incoming("e1", bot=bot) for bot in BOTS])
    return all(isinstance(receipt, Receipt) for receipt in receipts)


def port_of(link: RedisLink, bot: str) -> int:
    assert isinstance(link.commands, RedisCluster)
    node = link.commands.nodes_manager.get_node_from_slot(link.commands.keyslot(KEYS.root(bot)))
    return int(node.port)


async def run_out(link: RedisLink, works: list[Work]) -> None:
    for work in works:
        await link.commands.zadd(KEYS.bot(work.bot, "lease"), {work.conversation: 1})


async def free(link: RedisLink, works: list[Work]) -> list[str]:
    """Those bots whose claims have run out."""
    return [work.bot for work in works if await link.commands.zcount(KEYS.bot(work.bot, "lease"), 0, 1)]
