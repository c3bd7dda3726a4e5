"""What the log holds comes into the store, once, whatever is away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.envelope import Entry
from app.queue.log import EventLog, Read
from app.storage.archiver import MessageSink
from app.storage.cipher import record_identity
from app.storage.log_entry import Log
from app.storage.messages import Messages
from tests.unit.storage.house import BOTS, CIPHER, House, entry
from tests.waiting import PATIENCE, until


@pytest.fixture
def house(link: RedisLink, keys: Keys, messages: Messages, tmp_path: Path) -> House:
    return House(link, keys, messages, tmp_path)


async def test_events_and_sent_messages_come_into_the_store_as_they_are_sealed(house: House) -> None:
    await house.put("echo", entry(1), entry(2, kind="call", type="card.action.trigger", chat_id=""))
    async with house.running(house.archiver()) as archiver:
        await until(house.stored(2))
        sent = entry(3, kind="sent", type="text", event_id="sent 3")
        await house.log.append_sent("support", sent)
        await until(house.stored(3))
        await until(house.nothing_waits)
        assert archiver.counts["stored"] == 3
    out, call, event = [await house.messages.show(number) for number in (3, 2, 1)]
    assert out is not None
    assert call is not None
    assert event is not None
    assert (out.info.bot, out.info.direction, out.info.key, out.sealed) == (
        "support",
        "out",
        "sent 3",
        sent.sealed,
    )
    assert (call.info.direction, call.info.type, call.info.chat_id) == ("in", "card.action.trigger", "")
    assert (event.info.direction, event.info.created) == ("in", 1_700_000_001_500)
    assert (event.info.chat_id, event.info.user_id, event.info.message_id) == ("oc_1", "ou_1", "om_1")
    assert event.sealed is not None
    assert CIPHER.open(event.sealed, record_identity(event.info.key)) == b"hello"


async def test_many_are_written_in_few_transactions(house: House) -> None:
    await house.put("echo", *(entry(number) for number in range(500)))
    async with house.running(house.archiver()):
        await until(house.stored(500))
    assert len(house.gate.batches) <= 4


async def test_a_backlog_of_many_bots_comes_in_rounds_and_one_bots_in_large_ones(house: House) -> None:
    reads: list[tuple[int, int]] = []

    class CountedLog(EventLog):
        async def read(self, bots: Sequence[str], *args: Any) -> list[Read]:
            found = await super().read(bots, *args)
            reads.append((len(bots), len(found)))
            return found

    many = [f"bot{number}" for number in range(400)]
    async with house.link.commands.pipeline(transaction=False) as pipe:
        for number in range(1600):
            item = entry(number)
            pipe.xadd(house.keys.bot(many[number % 400], "log"), {"e": item.packed(), "s": item.sealed})
        for number in range(1600, 2400):
            item = entry(number)
            pipe.xadd(house.keys.bot("bot7", "log"), {"e": item.packed(), "s": item.sealed})
        await pipe.execute()
    archiver = house.archiver(log=CountedLog(house.link, house.keys), bots=many)
    async with house.running(archiver):
        await until(house.stored(2400))
    assert max(found for _, found in reads) <= 400
    assert (1, 250) in reads
    assert len(reads) < 30


async def test_a_death_between_store_and_log_stores_nothing_twice(house: House) -> None:
    class DyingLog(EventLog):
        async def done(self, entries: Sequence[tuple[str, str, Entry]]) -> None:
            await asyncio.Event().wait()

    await house.put("echo", entry(1), entry(2))
    async with house.running(house.archiver(log=DyingLog(house.link, house.keys))):
        await until(house.stored(2))
    assert not await house.nothing_waits()
    async with house.running(house.archiver()):
        await until(house.nothing_waits)
    assert await house.messages.count() == 2


async def test_a_log_that_does_not_answer_is_told_again(house: House) -> None:
    class DeafLog(EventLog):
        tries = 0

        async def done(self, entries: Sequence[tuple[str, str, Entry]]) -> None:
            self.tries += 1
            if self.tries < 3:
                raise StoreUnavailable("Redis is away")
            await super().done(entries)

        async def read(self, *args: Any) -> Any:
            if self.tries == 0 and not hasattr(self, "failed"):
                self.failed = True
                raise StoreUnavailable("Redis is away")
            return await super().read(*args)

    await house.put("echo", entry(1))
    async with house.running(house.archiver(log=DeafLog(house.link, house.keys))):
        await until(house.stored(1))
        await until(house.nothing_waits)
    assert await house.messages.count() == 1


async def test_a_database_outage_delays_and_loses_nothing(house: House) -> None:
    house.gate.away = True
    await house.put("echo", *(entry(number) for number in range(300)))
    async with house.running(house.archiver()) as archiver:
        await until(lambda: house.gate.tries > 5)
        assert archiver.away == "the database is away"
        assert archiver.counts["overflowed"] == 0
        assert await house.log.lag(BOTS) == 300
        house.gate.away = False
        await until(house.stored(300))
        await until(house.nothing_waits)
        assert archiver.away is None


async def test_past_the_bound_entries_move_to_the_disk_and_from_there_to_the_database(house: House) -> None:
    house.gate.away = True
    await house.put("echo", entry(0))
    async with house.running(house.archiver(max_lag=500)) as archiver:
        await until(lambda: archiver.away is not None)
        await house.put("echo", *(entry(number) for number in range(1, 1000)))
        await until(lambda: archiver.counts["overflowed"] >= 500)

        async def within_bound() -> bool:
            return await house.log.lag(BOTS) <= 500

        await until(within_bound)
        # What is over, and at most a round and what one read brings more.
        assert await house.log.lag(BOTS) >= 150
        assert await house.messages.count() == 0
        house.gate.away = False
        await until(house.stored(1000))
        await until(lambda: not house.overflow_path.exists())
        await until(house.nothing_waits)


async def test_what_moved_to_the_disk_survives_a_restart(house: House) -> None:
    house.gate.away = True
    await house.put("echo", *(entry(number) for number in range(10)))
    async with house.running(house.archiver(max_lag=0)) as archiver:
        await until(lambda: archiver.counts["overflowed"] == 10)
        await until(house.nothing_waits)
    tries = house.gate.tries
    async with house.running(house.archiver()):
        # Nothing of it is dropped before the database has it.
        await until(lambda: house.gate.tries > tries + 1)
        house.gate.away = False
        await until(house.stored(10))
        await until(lambda: not house.overflow_path.exists())


async def test_a_disk_that_is_full_too_leaves_entries_in_the_log(house: House) -> None:
    house.gate.away = True
    house.overflow_path.mkdir()
    await house.put("echo", *(entry(number) for number in range(10)))
    with capture_logs() as logs:
        async with house.running(house.archiver(max_lag=1)):
            await until(lambda: house.gate.tries > 2)
            assert await house.log.lag(BOTS) == 10
            house.gate.away = False
            await until(house.stored(10))
    assert any("overflow cannot be written" in line["event"] for line in logs)


async def test_a_disk_that_cannot_be_read_holds_up_nothing_else(house: House) -> None:
    house.overflow_path.mkdir()
    with capture_logs() as logs:
        async with house.running(house.archiver()):
            for number in range(1, 6):
                await house.put("echo", entry(number))
                await until(house.stored(number))
    assert any("overflow cannot be read" in line["event"] for line in logs)
    # Between two looks into the file.
    assert house.clock.slept < 10


@pytest.mark.parametrize(
    "damage",
    [
        {"sealed": b"plain text"},
        {"event_id": ""},
        {"kind": "rumour"},
        {"received": float("nan")},
        {"chat_id": "oc\0"},
        {"user_id": 7},
    ],
)
async def test_a_damaged_entry_is_named_and_left_out(house: House, damage: dict[str, Any]) -> None:
    await house.put("echo", entry(1), entry(2, **damage), entry(3))
    with capture_logs() as logs:
        async with house.running(house.archiver()) as archiver:
            await until(house.stored(2))
            await until(house.nothing_waits)
            assert archiver.counts["damaged"] == 1
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["bot"] == "echo"
    assert line["entry"]
    assert "plain text" not in str(logs)


async def test_a_fault_of_the_log_does_not_end_the_archiver(house: House) -> None:
    class BrokenLog(EventLog):
        broken = 2

        async def read(self, *args: Any) -> Any:
            if self.broken:
                self.broken -= 1
                raise KeyError("a field that is not there")
            return await super().read(*args)

    await house.put("echo", entry(1))
    async with house.running(house.archiver(log=BrokenLog(house.link, house.keys))):
        await until(house.stored(1))


async def test_stop_stores_what_is_in_hand(house: House) -> None:
    archiver = house.archiver()
    task = asyncio.create_task(archiver.run())
    await house.put("echo", *(entry(number) for number in range(50)))
    await until(lambda: house.gate.tries)
    archiver.stop()
    async with asyncio.timeout(PATIENCE):
        await task
    assert await house.messages.count() == 50 - await house.log.lag(BOTS)


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancellation_ends_it_wherever_it_comes(house: House, steps: int) -> None:
    await house.put("echo", entry(1))
    task = asyncio.create_task(house.archiver().run())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    assert done == {task}


async def test_stop_does_not_wait_for_a_database_that_is_away(house: House) -> None:
    house.gate.away = True
    await house.put("echo", entry(1))
    archiver = house.archiver()
    task = asyncio.create_task(archiver.run())
    await until(lambda: house.gate.tries)
    archiver.stop()
    async with asyncio.timeout(PATIENCE):
        await task
    assert await house.log.lag(BOTS) == 1


def test_the_seams_fit(house: House) -> None:
    log: Log[Entry] = house.log
    sink: MessageSink = house.messages
    assert log
    assert sink
