"""The drainer: spooled events reach Redis in order, once, and the spool gets empty under traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.core.ending import ended
from app.gateway.accept import Acceptor
from app.gateway.drain import SpoolDrainer
from app.gateway.spool import Spool
from app.queue.work import Receipt
from tests.unit.gateway.kit import StubQueue, incoming
from tests.unit.gateway.taking import due, many
from tests.waiting import PATIENCE, until


@pytest.fixture
async def acceptor(queue: StubQueue, spool: Spool) -> AsyncIterator[Acceptor]:
    acceptor = Acceptor(queue, spool)
    drainer = asyncio.create_task(SpoolDrainer(acceptor, queue, spool, queue.probe).run())
    yield acceptor
    await ended(drainer)


async def test_in_order_once_redis_is_back(queue: StubQueue, spool: Spool, acceptor: Acceptor) -> None:
    queue.away = True
    for start in (0, 100, 200):
        await many(acceptor, range(start, start + 100))
    await many(acceptor, range(1000, 1100), conversation="oc_2")
    queue.away = False
    await until(lambda: spool.depth == 0)
    assert queue.order() == [f"e{number}" for number in range(300)]
    assert queue.order(conversation="oc_2") == [f"e{number}" for number in range(1000, 1100)]
    await until(lambda: not acceptor.trouble.is_set())
    assert acceptor.place == "queue"
    await many(acceptor, [300])
    assert queue.order()[-1] == "e300"
    assert spool.depth == 0


async def test_what_redis_had_taken_all_the_same_is_not_there_twice(
    queue: StubQueue, spool: Spool, acceptor: Acceptor
) -> None:
    queue.failures = ["lose", "refuse"]
    await many(acceptor, range(3))
    await many(acceptor, range(3, 6))
    await until(lambda: spool.depth == 0)
    assert queue.order() == [f"e{number}" for number in range(6)]


async def test_under_traffic_that_does_not_stop(queue: StubQueue, spool: Spool, acceptor: Acceptor) -> None:
    queue.away = True
    await many(acceptor, range(50))
    queue.away = False
    number = 50
    pending: set[asyncio.Task[Receipt]] = set()
    async with asyncio.timeout(PATIENCE):
        while acceptor.trouble.is_set():
            task = asyncio.create_task(acceptor.accept(incoming(number), due()))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1
            await asyncio.sleep(0.001)  # what is tested: somebody who does not stop
    await asyncio.gather(*pending)
    await until(lambda: spool.depth == 0)
    assert queue.order() == [f"e{n}" for n in range(number)]


@pytest.mark.parametrize("why", ["full", "refused"])
async def test_a_bot_whose_events_are_not_taken_holds_up_no_other(
    queue: StubQueue, spool: Spool, acceptor: Acceptor, why: str
) -> None:
    queue.away = True
    await many(acceptor, range(10), bot="flooded")
    await many(acceptor, range(10, 20))
    setattr(queue, why, {"flooded"})
    queue.away = False
    await until(lambda: not spool.holds("support"))
    assert queue.order() == [f"e{number}" for number in range(10, 20)]
    assert spool.depth == 10
    setattr(queue, why, set())
    await until(lambda: spool.depth == 0)
    assert queue.order("flooded") == [f"e{number}" for number in range(10)]


async def test_without_a_spool_the_probe_ends_the_outage(queue: StubQueue) -> None:
    acceptor = Acceptor(queue, None)
    drainer = asyncio.create_task(SpoolDrainer(acceptor, queue, None, queue.probe).run())
    queue.away = True
    assert await many(acceptor, [1]) == ["refused"]
    queue.away = False
    await until(lambda: acceptor.place == "queue")
    assert await many(acceptor, [1]) == ["accepted"]
    await ended(drainer)


async def test_what_an_earlier_process_left_is_handed_on(queue: StubQueue, spool: Spool) -> None:
    await spool.put([incoming(number) for number in range(5)])
    drainer = asyncio.create_task(SpoolDrainer(Acceptor(queue, spool), queue, spool, queue.probe).run())
    await until(lambda: spool.depth == 0)
    assert queue.order() == [f"e{number}" for number in range(5)]
    await ended(drainer)


async def test_a_failure_in_the_middle_loses_nothing(queue: StubQueue, spool: Spool, acceptor: Acceptor) -> None:
    queue.away = True
    await many(acceptor, range(20))
    queue.failures = ["", "", "lose", "refuse", "", "", "lose"]
    queue.away = False
    await until(lambda: spool.depth == 0)
    assert queue.order() == [f"e{number}" for number in range(20)]


async def test_a_spool_is_no_way_round_a_full_queue(queue: StubQueue, spool: Spool, acceptor: Acceptor) -> None:
    queue.away = True
    await many(acceptor, [0], bot="flooded")
    queue.full = {"flooded"}
    queue.away = False
    await until(lambda: "flooded" in acceptor.full)
    assert await many(acceptor, range(1, 20), bot="flooded") == ["full"] * 19
    assert spool.depth == 1
    assert await many(acceptor, [50]) == ["accepted"]
    queue.full = set()
    await until(lambda: spool.depth == 0)
    assert await many(acceptor, [1], bot="flooded") == ["accepted"]
    assert queue.order("flooded") == ["e0", "e1"]
