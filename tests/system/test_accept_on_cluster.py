"""Accepting on a Redis Cluster: what one primary lacks, or a primary that hangs, is that of its own bots alone."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import pytest
from redis.asyncio import RedisCluster
from redis.exceptions import ResponseError

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.gateway.accept import Acceptor
from app.queue.mailbox import Mailbox
from app.queue.work import Incoming
from tests.ports import free_port
from tests.redis_servers import Server
from tests.system import test_redis_arrangements as arrangements
from tests.unit.gateway.taking import take
from tests.unit.queue.incoming import incoming, statuses
from tests.waiting import until

pytestmark = pytest.mark.system
cluster = arrangements.cluster


async def test_the_replicas_of_a_bots_own_primary_count(cluster: list[Server]) -> None:
    flags = (*arrangements.SYNC_AT_ONCE, "--cluster-enabled", "yes")
    bus = free_port()
    with Server(*flags, "--cluster-port", str(bus), port=free_port()) as replica:
        async with (
            arrangements.linked(arrangements.cluster_url(cluster)) as link,
            arrangements.linked(replica.url) as copy,
        ):
            await until(lambda: follows(replica, bus, copy, cluster[0]))
            mailbox = Mailbox(link, Keys(), replicas_ack=1)
            batch = one_each(link)
            await until(lambda: finds(mailbox, batch, ["duplicate", "unavailable", "unavailable"]))
            replica.signal(signal.SIGSTOP)
            assert statuses(await mailbox.accept(batch)) == ["unavailable"] * 3
            replica.signal(signal.SIGCONT)


async def test_a_primary_that_hangs_keeps_no_events_of_the_others_out(cluster: list[Server]) -> None:
    async with arrangements.linked(arrangements.cluster_url(cluster)) as link:
        mailbox = Mailbox(link, Keys())
        await until(lambda: kept(mailbox, *one_each(link)))
        acceptor = Acceptor(mailbox, None)
        cluster[0].signal(signal.SIGSTOP)
        assert await take(acceptor, *one_each(link, "again")) == ["refused", "accepted", "accepted"]
        assert acceptor.place == "queue"
        cluster[0].signal(signal.SIGCONT)


async def test_while_a_slot_moves_nothing_of_its_bots_is_split(cluster: list[Server]) -> None:
    async with arrangements.linked(arrangements.cluster_url(cluster)) as link, contextlib.AsyncExitStack() as links:
        assert isinstance(link.commands, RedisCluster)
        mailbox = Mailbox(link, Keys())
        await until(lambda: kept(mailbox, incoming("e1")))
        [first] = await mailbox.take("echo", "n1", 1)
        nodes = [(await links.enter_async_context(arrangements.linked(one.url))).commands for one in cluster]
        names = [bytes(await node.execute_command("CLUSTER", "MYID")).decode() for node in nodes]
        slot = link.commands.keyslot(Keys().root("echo"))
        source = slot * 3 // 16384
        target = (source + 1) % 3
        await nodes[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        await nodes[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        moving = await nodes[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
        half = sorted(moving)[::2]
        await move(nodes[source], cluster[target], half)

        assert statuses(await mailbox.accept([incoming("e2")])) == ["unavailable"]
        for step in (mailbox.finish(first), mailbox.take("echo", "n1", 1)):
            with pytest.raises(StoreUnavailable):
                await step
        assert await nodes[target].dbsize() == len(half)

        await move(nodes[source], cluster[target], sorted(moving)[1::2])
        for node in (nodes[target], nodes[source]):
            await node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])
        await until(lambda: kept(mailbox, incoming("e2")))
        following = await mailbox.finish(first)
        assert following is not None
        assert following.entry.event_id == "e2"


async def move(source: Any, target: Server, keys: list[bytes]) -> None:
    """As `redis-cli --cluster reshard` does."""
    await source.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)


def one_each(link: RedisLink, name: str = "first") -> list[Incoming]:
    """An event of a bot on each primary."""
    assert isinstance(link.commands, RedisCluster)
    bots = {link.commands.keyslot(Keys().root(f"bot{n}")) * 3 // 16384: f"bot{n}" for n in range(50)}
    return [incoming(name, bot=bots[n]) for n in range(3)]


async def follows(replica: Server, bus: int, copy: RedisLink, primary: Server) -> bool:
    """Whether the replica has its first copy; asked for again until it has heard of the primary."""
    async with arrangements.linked(primary.url) as link:
        name = bytes(await link.commands.execute_command("CLUSTER", "MYID")).decode()
        await link.commands.execute_command("CLUSTER", "MEET", "127.0.0.1", replica.port, bus)
    with contextlib.suppress(ResponseError):
        await copy.commands.execute_command("CLUSTER", "REPLICATE", name)
    return bool((await copy.commands.info("replication")).get("master_link_status") == "up")


async def finds(mailbox: Mailbox, batch: list[Incoming], wanted: list[str]) -> bool:
    return statuses(await mailbox.accept(batch)) == wanted


async def kept(mailbox: Mailbox, *events: Incoming) -> bool:
    return "unavailable" not in statuses(await mailbox.accept(events))
