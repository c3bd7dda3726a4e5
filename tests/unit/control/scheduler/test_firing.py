"""Firing: once in the cluster, whoever dies or has a wrong clock; missed firings as the schedule says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.control.scheduler.firing import Firing
from app.core.clock import SystemClock
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.parse import parse_event
from app.model.schedule import Missed, Schedule
from app.queue.envelope import Entry
from app.queue.mailbox import Mailbox
from app.queue.timetable import Timetable
from app.sdk.cron_tick import CronTick
from app.storage.cipher import record_identity
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from tests.unit.queue.test_ledger import claimed
from tests.unit.worker.kit import Bots, spec
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")

MINUTELY = Schedule("tick", "* * * * *", "Asia/Shanghai")
MADE_UP = Schedule("tick", "* * * * *", "Asia/Shanghai", "once", "oc_1")


class Off(SystemClock):
    """A node's clock that is wrong."""

    def __init__(self, by: float) -> None:
        self._by = by

    def now(self) -> float:
        return super().now() + self._by


@dataclass
class Desk:
    """A queue, its timetable, and the nodes that fire."""

    link: RedisLink
    keys: Keys
    keyring: Keyring
    bots: Bots

    def __post_init__(self) -> None:
        self.timetable = Timetable(self.link, self.keys)
        self.mailbox = Mailbox(self.link, self.keys)

    def node(self, off: float = 0.0) -> Firing:
        return Firing(self.timetable, self.mailbox, self.keyring, self.bots, clock=Off(off))

    async def due(self, ago: float = 0.0, name: str = "tick") -> float:
        """Let a schedule have been due some seconds ago; when that was."""
        when = round(await self.timetable.now("echo") - ago, 3)
        await self.link.commands.zadd(self.keys.bot("echo", "timers"), {f"s:{name}": when * 1000})
        await self.timetable.mend(["echo"])
        return when

    async def next_due(self) -> float:
        [one] = await self.timetable.all("echo")
        return one.due - await self.timetable.now("echo")

    async def queued(self) -> list[CronTick]:
        found = []
        log: Any = await self.link.commands.xrange(self.keys.bot("echo", "log"))
        for _, fields in log:
            entry = Entry.unpacked(fields[b"e"], fields[b"s"])
            plain = (await self.keyring.cipher("echo")).open(entry.sealed, record_identity(entry.event_id))
            found.append(CronTick.of(parse_event(orjson.loads(plain), raw=plain)))
        return found


@pytest.fixture
async def desk(link: RedisLink, keys: Keys, tmp_path: Path) -> AsyncIterator[Desk]:
    keyring = Keyring(MasterKey([new_key()], "the test"), link, keys, tmp_path / "keys")
    yield Desk(link, keys, keyring, Bots(spec()))
    await keyring.close()


async def test_nodes_with_clocks_apart_fire_once_each_time(desk: Desk) -> None:
    await desk.timetable.plan("echo", [MINUTELY])
    nodes = [desk.node(off) for off in (-2.0, 0.0, 2.0)]
    await asyncio.gather(*(node.fire_due() for node in nodes))
    assert await desk.queued() == []
    for count, ago in ((1, 2), (2, 0)):
        when = await desk.due(ago=ago)  # each time has a second of its own, however long the first one took
        await asyncio.gather(*(node.fire_due() for node in nodes for _ in range(3)))
        ticks = await desk.queued()
        assert len(ticks) == count
        assert abs(ticks[-1].at.timestamp() - when) <= 1
        # The minute after it, which may have begun by now.
        assert 0 < await desk.next_due() + await desk.timetable.now("echo") - when < 61


@pytest.mark.parametrize("stage", ["before", "after"])
async def test_a_node_that_dies_while_it_fires_is_taken_over_from(desk: Desk, stage: str) -> None:
    await desk.timetable.plan("echo", [MINUTELY])
    await desk.due()
    # What it had done when it died: it had the turn, and had put the event into the queue or not.
    await desk.timetable.claim()
    if stage == "after":
        dying = desk.node()
        now, timers = await desk.timetable.due("echo", 10)
        await dying._fire(desk.bots.bots["echo"], timers, now)
    other = desk.node(2.0)

    async def fired() -> bool:
        await other.fire_due()
        return await desk.next_due() > 0

    await until(fired)
    assert len(await desk.queued()) == 1


async def test_a_missed_firing_is_skipped_or_made_up_for_once(desk: Desk) -> None:
    for schedule, events in ((MINUTELY, 0), (MADE_UP, 1)):
        await desk.timetable.plan("echo", [schedule])
        await desk.due(ago=3600)
        await desk.node().fire_due()
        assert len(await desk.queued()) == events
        # The next one, which may have come meanwhile, and not the one after that which was missed.
        assert -30 < await desk.next_due() <= 60
    [tick] = await desk.queued()
    # It tells the last of the times that were missed.
    assert await desk.timetable.now("echo") - tick.at.timestamp() <= 90
    assert (tick.chat_id, tick.event.chat_id) == ("oc_1", "oc_1")


@pytest.mark.parametrize("missed", ["skip", "once"])
async def test_what_is_late_but_not_missed_is_fired_each_time(desk: Desk, missed: Missed) -> None:
    # Six fields: the first is of seconds.
    await desk.timetable.plan("echo", [Schedule("tick", "*/5 * * * * *", "UTC", missed)])
    await desk.due(ago=20)
    await desk.node().fire_due()
    assert len(await desk.queued()) == 1
    assert await desk.next_due() < -10


@pytest.mark.parametrize("missed", ["skip", "once"])
async def test_after_an_outage_one_firing_makes_up_for_all_or_goes_on_with_what_is_not_missed_yet(
    desk: Desk, missed: Missed
) -> None:
    await desk.timetable.plan("echo", [Schedule("tick", "*/5 * * * * *", "UTC", missed)])
    await desk.due(ago=3600)
    before = await desk.timetable.now("echo")
    await desk.node().fire_due()
    [one] = await desk.timetable.all("echo")
    assert (one.due > before) == (missed == "once")
    assert len(await desk.queued()) == (missed == "once")


async def test_a_full_queue_is_waited_for(desk: Desk) -> None:
    desk.bots.change(spec(message={"queue_size": 1}))
    await desk.timetable.plan("echo", [MINUTELY, Schedule("tock", "* * * * *", "UTC")])
    node = desk.node()
    await desk.due()
    await desk.due(name="tock")
    await node.fire_due()
    assert len(await desk.queued()) == 1
    [work] = await desk.mailbox.take("echo", "n1", 10)
    await desk.mailbox.finish(work)

    async def fired() -> bool:
        await node.fire_due()
        return len(await desk.queued()) == 2

    await until(fired)


async def test_a_paused_schedule_is_not_due_until_it_is_resumed(desk: Desk) -> None:
    await desk.timetable.plan("echo", [MINUTELY])
    assert await desk.timetable.pause("echo", "tick")
    await desk.node().fire_due()
    assert await desk.next_due() == float("inf")
    # A changed time does not wake it.
    await desk.timetable.plan("echo", [Schedule("tick", "*/2 * * * *", "UTC")])
    assert await desk.next_due() == float("inf")
    assert await desk.timetable.resume("echo", "tick")
    assert 0 < await desk.next_due() <= 120
    assert await desk.timetable.resume("echo", "tick")  # a second time changes nothing
    assert not await desk.timetable.pause("echo", "other")
    assert not await desk.timetable.resume("echo", "other")


async def test_what_is_declared_again_keeps_its_time_and_what_is_not_goes(desk: Desk) -> None:
    other = Schedule("other", "0 9 * * *", "UTC")
    await desk.timetable.plan("echo", [MINUTELY, other])
    await desk.due(ago=10)
    await desk.timetable.plan("echo", [MINUTELY])
    assert -11 < await desk.next_due() < -9
    await desk.timetable.plan("echo", [])
    assert await desk.timetable.all("echo") == []
    await desk.node().fire_due()
    assert await desk.queued() == []


async def test_run_fires_beside_the_time(desk: Desk) -> None:
    await desk.timetable.plan("echo", [MADE_UP])
    before = await desk.timetable.all("echo")
    node = desk.node()
    for _ in range(2):
        assert await node.run_now(desk.bots.bots["echo"], "tick")
    assert len(await desk.queued()) == 2
    assert await desk.timetable.all("echo") == before
    assert not await node.run_now(desk.bots.bots["echo"], "other")


async def test_a_reminder_comes_once_however_often_it_was_asked_for(desk: Desk) -> None:
    work = await claimed(desk.link, desk.keys)
    entry = work.entry._replace(event_id="later:1", identity="later:1", conversation="oc_7")
    for _ in range(2):
        await desk.timetable.remind(work, entry, "1", 0.0)
    node = desk.node()
    await node.fire_due()
    await desk.timetable.remind(work, entry, "1", 0.0)  # the handler runs once more
    await node.fire_due()
    assert await desk.mailbox.depth("echo") == 2  # the event that asked, and the reminder
    [found] = await desk.mailbox.take("echo", "n1", 10)
    assert (found.conversation, found.entry.event_id, found.entry.sealed) == ("oc_7", "later:1", entry.sealed)
    assert await desk.timetable.all("echo") == []


async def test_a_bot_that_this_node_lacks_is_left_to_others(desk: Desk, link: RedisLink) -> None:
    await desk.timetable.plan("echo", [MINUTELY])
    await desk.due()
    lacking = Firing(desk.timetable, desk.mailbox, desk.keyring, Bots(), clock=Off(0))
    await lacking.fire_due()
    assert await desk.queued() == []
    node = desk.node()

    async def fired() -> bool:
        await node.fire_due()
        return len(await desk.queued()) == 1

    await until(fired)


async def test_a_bot_whose_timers_are_damaged_keeps_no_other_from_its_time(desk: Desk) -> None:
    desk.bots.bots = {"damaged": spec("damaged"), **desk.bots.bots}
    await desk.timetable.plan("echo", [MINUTELY])
    await desk.due()
    await desk.link.commands.set(desk.keys.bot("damaged", "timers"), "of another type")
    await desk.link.commands.zadd(desk.keys.timers, {"damaged": 1})
    await desk.node().fire_due()
    assert len(await desk.queued()) == 1


async def test_many_that_are_due_at_once_are_all_fired(desk: Desk) -> None:
    names = [f"s{n}" for n in range(250)]
    await desk.timetable.plan("echo", [Schedule(name, "0 9 * * *", "UTC") for name in names])
    now = await desk.timetable.now("echo")
    await desk.link.commands.zadd(desk.keys.bot("echo", "timers"), {f"s:{name}": now * 1000 for name in names})
    await desk.timetable.mend(["echo"])
    await desk.node().fire_due()
    assert sorted(tick.name for tick in await desk.queued()) == sorted(names)
