"""The outbox on a Redis Cluster: every step in its bot's slot, woken, swept, watched and measured."""

from __future__ import annotations

import asyncio

import pytest

from app.channel.outbox import Outbox
from app.core.keys import Keys
from app.model.outbound import SendName, target_of
from app.queue.depths import Depths
from app.queue.leases import Leases
from app.queue.outbox import OutboxQueue
from tests.redis_servers import Server
from tests.system import test_redis_arrangements as arrangements
from tests.unit.channel.parts import PlainSeal, text
from tests.waiting import until

pytestmark = pytest.mark.system
cluster = arrangements.cluster


async def test_messages_go_their_way(cluster: list[Server]) -> None:
    keys = Keys()
    async with arrangements.linked(arrangements.cluster_url(cluster)) as link:
        queue = OutboxQueue(link, keys)
        outbox = Outbox(queue, PlainSeal())
        bots = [f"bot{number}" for number in range(5)]
        for bot in bots:
            assert await outbox.put(bot, "m", text()) == "queued"
            assert await outbox.put_many(bot, "b", [target_of("oc_1"), target_of("ou_2")], [("text", "{}")]) == "queued"
        assert {await queue.mailbox.next_bot(1.0) for _ in bots} == set(bots)
        depths = await Depths(link, keys).read(bots)
        assert [depths[bot].to_send for bot in bots] == [3] * 5
        assert [one.state for one in await queue.states("bot1", ["b-1", "b-2"]) if one] == ["queued", "queued"]

        seen: list[str] = []

        async def watch() -> None:
            async for found in queue.watch("bot1", "m"):
                seen.append(found.state)

        watching = asyncio.create_task(watch())
        await until(lambda: seen == ["queued"])
        works = await queue.mailbox.take("bot1", "n:b:out", 8, calls=8)
        leases = Leases(link, keys.outbox())
        assert await leases.extend(works) == []
        for work in works:
            name = SendName("bot1", work.entry.event_id, 0, "im.message.create", "oc_1", 1)
            record = queue.record(work)
            await record.begin(name)
            await record.record(name, "om_1")
            assert (await outbox.open(work)).message.msg_type == "text"
            await queue.mailbox.delete(work)
        await watching
        assert (seen[0], seen[-1]) == ("queued", "sent")
        batch = await queue.batch("bot1", "b")
        assert batch is not None
        assert (batch.sent, await queue.depth("bot1")) == (2, 0)
        assert await queue.cancel("bot2", "m") == "cancelled"
        await leases.sweep(bots)
        assert await queue.mailbox.next_bot(1.0) in bots
