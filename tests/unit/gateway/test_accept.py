"""Group commit: one round trip for many, a result for each, and the spool when Redis does not take them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.core.errors import Unavailable
from app.gateway.accept import Acceptor
from app.gateway.counts import Counts
from app.gateway.spool import Spool
from app.queue.work import Incoming, Receipt
from tests.unit.gateway.kit import StubQueue, incoming
from tests.unit.gateway.taking import due, many, take
from tests.waiting import until

LARGE = 1 << 30


class TestCommit:
    async def test_what_arrives_together_shares_one_round_trip(self, queue: StubQueue) -> None:
        assert await many(Acceptor(queue, None), range(16)) == ["accepted"] * 16
        assert [len(batch) for batch in queue.batches] == [16]

    async def test_of_many_one_half_is_worked_on_while_the_other_is_kept(self, queue: StubQueue) -> None:
        assert await many(Acceptor(queue, None), range(100)) == ["accepted"] * 100
        assert [len(batch) for batch in queue.batches] == [50, 50]
        assert queue.order() == [f"e{number}" for number in range(100)]

    async def test_what_arrives_meanwhile_goes_out_with_the_next(self, queue: StubQueue) -> None:
        acceptor = Acceptor(queue, None)
        queue.gate = asyncio.Event()
        tasks = [asyncio.create_task(acceptor.accept(incoming(0), due()))]
        await until(lambda: queue.attempts == 1)
        tasks += [asyncio.create_task(acceptor.accept(incoming(number), due())) for number in range(1, 15)]
        await asyncio.sleep(0)
        assert queue.attempts == 1
        queue.gate.set()
        await asyncio.gather(*tasks)
        assert [len(batch) for batch in queue.batches] == [1, 14]
        assert queue.order() == [f"e{number}" for number in range(15)]

    async def test_at_most_256_events_and_one_mebibyte(self, queue: StubQueue) -> None:
        await many(Acceptor(queue, None), range(600))
        assert [len(batch) for batch in queue.batches] == [256, 256, 88]
        queue.batches.clear()
        large = [incoming(1000 + number, size=400_000) for number in range(5)]
        await take(Acceptor(queue, None), *large, incoming(2000, size=2_000_000))
        assert [len(batch) for batch in queue.batches] == [2, 2, 1, 1]

    async def test_each_event_has_its_own_result(self, queue: StubQueue) -> None:
        queue.full, queue.refused = {"flooded"}, {"damaged"}
        acceptor = Acceptor(queue, None)
        await take(acceptor, incoming(1))
        others = incoming(3, bot="flooded"), incoming(5, bot="damaged")
        found = await take(acceptor, incoming(1), incoming(2), *others, incoming(4))
        assert found == ["duplicate", "accepted", "full", "refused", "accepted"]
        assert acceptor.place == "queue"

    async def test_a_lost_reply_is_asked_for_again(self, queue: StubQueue) -> None:
        queue.failures = ["lose"]
        acceptor = Acceptor(queue, None)
        assert await many(acceptor, range(3)) == ["accepted"] * 3
        assert queue.order() == ["e0", "e1", "e2"]
        assert not acceptor.down

    async def test_a_part_of_a_cluster_that_is_away(self, queue: StubQueue, spool: Spool) -> None:
        queue.away_for = {"lost"}
        acceptor = Acceptor(queue, spool)
        found = await take(acceptor, incoming(1), incoming(2, bot="lost"), incoming(3))
        assert found == ["accepted"] * 3
        assert not acceptor.down
        assert spool.holds("lost")
        assert not spool.holds("support")
        queue.away_for = {"lost", "other"}
        assert await take(acceptor, incoming(4, bot="other")) == ["accepted"]
        assert acceptor.down, "no part of it answered"

    async def test_a_fault_of_the_program_loses_nothing(self, queue: StubQueue, spool: Spool) -> None:
        async def broken(batch: Sequence[Incoming]) -> list[Receipt]:
            raise RuntimeError("a bug")

        queue.accept = broken  # type: ignore[method-assign, assignment]
        acceptor = Acceptor(queue, spool)
        assert await many(acceptor, range(3)) == ["accepted"] * 3
        assert (spool.depth, acceptor.down) == (3, True)

    async def test_memory_is_bounded(self, queue: StubQueue) -> None:
        acceptor = Acceptor(queue, None)
        queue.gate = asyncio.Event()
        tasks = [asyncio.create_task(acceptor.accept(incoming(n, size=10_000_000), due())) for n in range(7)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await acceptor.accept(incoming(8), due())
        queue.gate.set()
        await asyncio.gather(*tasks)
        assert await many(acceptor, range(10, 12)) == ["accepted"] * 2  # what was kept takes no more room


class TestOutage:
    async def test_without_a_spool_it_is_refused(self, queue: StubQueue) -> None:
        queue.away = True
        acceptor = Acceptor(queue, None)
        assert await many(acceptor, range(3)) == ["refused"] * 3
        assert acceptor.place == "none"

    async def test_with_a_spool_it_is_kept(self, queue: StubQueue, spool: Spool) -> None:
        queue.away = True
        counts = Counts()
        acceptor = Acceptor(queue, spool, counts=counts)
        assert await many(acceptor, range(3)) == ["accepted"] * 3
        assert acceptor.place == "spool"
        assert (spool.depth, counts.spooled["support"]) == (3, 3)

    async def test_after_one_failure_redis_is_left_alone(self, queue: StubQueue, spool: Spool) -> None:
        queue.away = True
        acceptor = Acceptor(queue, spool)
        await many(acceptor, [0])
        attempts = queue.attempts
        for number in range(1, 5):
            await many(acceptor, [number])
        assert queue.attempts == attempts == 2
        assert spool.depth == 5

    async def test_a_redis_that_hangs_costs_no_one_more_than_the_deadline(self, queue: StubQueue, spool: Spool) -> None:
        queue.failures = ["hang"] * 10
        acceptor = Acceptor(queue, spool)
        assert await many(acceptor, range(3)) == ["accepted"] * 3
        assert spool.depth == 3
        assert acceptor.down, "the next ones do not wait for it"

    async def test_a_deadline_is_kept_even_where_the_disk_hangs(self, queue: StubQueue, spool: Spool) -> None:
        queue.away = True
        acceptor = Acceptor(queue, spool)
        hung = asyncio.Event()

        async def hang(*_: object) -> None:
            await hung.wait()

        spool._write = hang  # type: ignore[method-assign, assignment]
        with pytest.raises(Unavailable):
            await acceptor.accept(incoming(1), due(0.2))
        hung.set()

    async def test_a_full_spool_refuses(self, queue: StubQueue, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "small.db", 2000)
        await spool.open()
        queue.away = True
        acceptor = Acceptor(queue, spool)
        assert await take(acceptor, incoming(1)) == ["accepted"]
        assert await take(acceptor, incoming(2, size=5000)) == ["refused"]
        assert acceptor.place == "none"
        await spool.close()

    async def test_callbacks_are_never_spooled(self, queue: StubQueue, spool: Spool) -> None:
        queue.away = True
        acceptor = Acceptor(queue, spool)
        assert await take(acceptor, incoming(1, call=True), incoming(2)) == ["refused", "accepted"]
        assert await take(acceptor, incoming(3, call=True)) == ["refused"]
        assert spool.depth == 1

    async def test_callbacks_do_not_wait_behind_spooled_events(self, queue: StubQueue, spool: Spool) -> None:
        await spool.put([incoming(1)])
        acceptor = Acceptor(queue, spool)
        assert await take(acceptor, incoming(2, call=True), incoming(3)) == ["accepted"] * 2
        assert [item.entry.event_id for item in queue.events] == ["e2"]

    async def test_new_events_of_a_bot_go_behind_its_spooled_ones(self, queue: StubQueue, spool: Spool) -> None:
        await spool.put([incoming(1)])
        acceptor = Acceptor(queue, spool)
        assert await take(acceptor, incoming(2), incoming(3, bot="other")) == ["accepted"] * 2
        assert queue.order() == []
        assert queue.order("other") == ["e3"]
        assert spool.depth == 2

    async def test_what_waited_for_a_commit_that_failed_goes_behind_it(self, queue: StubQueue, spool: Spool) -> None:
        acceptor = Acceptor(queue, spool)
        queue.gate = asyncio.Event()
        queue.failures = ["refuse", "refuse"]
        first = asyncio.create_task(acceptor.accept(incoming(1), due()))
        await until(lambda: queue.attempts == 1)
        second = asyncio.create_task(acceptor.accept(incoming(2), due()))
        await asyncio.sleep(0)
        acceptor.recovered()
        queue.gate.set()
        await asyncio.gather(first, second)
        found = await spool.oldest(10, LARGE)
        assert [item.incoming.entry.event_id for item in found] == ["e1", "e2"]


async def test_what_comes_behind_what_was_parked_waits_with_it(queue: StubQueue, spool: Spool) -> None:
    await spool.put([incoming(1)])
    acceptor = Acceptor(queue, spool)
    acceptor.park(True)
    second = asyncio.create_task(acceptor.accept(incoming(2), due()))
    assert await take(acceptor, incoming(3, bot="other")) == ["accepted"]
    await spool.remove(await spool.oldest(10, LARGE))  # the last of them was handed on
    third = asyncio.create_task(acceptor.accept(incoming(4), due()))
    assert await take(acceptor, incoming(5, bot="other")) == ["accepted"]
    assert queue.order() == []

    acceptor.park(False)
    await asyncio.gather(second, third)
    assert queue.order() == ["e2", "e4"]


async def test_close_waits_for_what_was_asked(queue: StubQueue) -> None:
    acceptor = Acceptor(queue, None)
    tasks = [asyncio.create_task(acceptor.accept(incoming(number), due())) for number in range(300)]
    await asyncio.sleep(0)
    await acceptor.close()
    assert all(receipt.status == "accepted" for receipt in await asyncio.gather(*tasks))
