"""A Redis that is full: nothing new goes in, and what lies there is ended all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.model.outbound import SendName
from app.queue.fetch import Fetch, Room
from app.queue.leases import Leases
from app.queue.ledger import Ledgers
from app.queue.mailbox import Mailbox
from tests.redis_servers import Server
from tests.unit.queue.incoming import incoming, statuses
from tests.waiting import PATIENCE, until

WIDE = Room(8, 4)
BOTS = ["echo"]


@pytest.fixture
async def own(keys: Keys) -> AsyncIterator[RedisLink]:
    """A link to a server of the test's own, full but for four events in four conversations."""
    with Server("--save", "") as server:
        link = await connect(server.url)
        await Mailbox(link, keys).accept([incoming(f"e{n}", conversation=f"oc_{n}") for n in range(4)])
        await link.commands.config_set("maxmemory", 1)
        yield link
        await link.close()


async def test_events_are_taken_answered_and_ended(own: RedisLink, keys: Keys) -> None:
    mailbox, leases, ledgers = Mailbox(own, keys), Leases(own, keys), Ledgers(own, keys)
    done, retried, buried, put_off = (await Fetch(own, keys, mailbox).next("n1", PATIENCE, WIDE)).works
    assert statuses(await mailbox.accept([incoming("new")])) == ["unavailable"]

    assert await leases.extend([done, retried, buried, put_off]) == []
    name = SendName("echo", "e0", 0, "im.message.create", "oc_0", 0)
    await ledgers.of(done).begin(name)
    await ledgers.of(done).record(name, "om_1")
    assert (await ledgers.of(done).begin(name)).message_id == "om_1"
    await ledgers.state_set(done, "chat:oc_0:count", b"1", None)
    await mailbox.finish(done)
    await mailbox.retry(retried, 0)
    await mailbox.bury(buried, "cannot succeed")
    await mailbox.later(put_off, 0)
    swept = await leases.sweep_in_turn(BOTS, "n1", 0.001)
    assert swept is not None
    assert (swept.retries, swept.later) == (1, 1)
    for work in await mailbox.take("echo", "n1", 9):
        await mailbox.finish(work)
    assert await mailbox.depth("echo") == 0


async def test_who_waits_is_woken(own: RedisLink, keys: Keys) -> None:
    mailbox = Mailbox(own, keys)
    fetch = Fetch(own, keys, mailbox)
    await fetch.next("n1", PATIENCE, WIDE)

    async def waits() -> bool:
        return any(client["cmd"] == "blmpop" for client in await own.commands.client_list())

    waiting = asyncio.create_task(fetch.next("n1", PATIENCE, WIDE))
    await until(waits)
    await mailbox.give_back("support")
    assert await waiting == ([], ["support"])
