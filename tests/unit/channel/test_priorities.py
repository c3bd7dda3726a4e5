"""What goes first, what holds up nothing else, and how long a pause grows."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import Bounds, SendLimits
from app.channel.windows import LocalWindows
from app.core.ending import ended
from app.core.errors import SlotTimeout
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.bot import BotSpec
from tests.unit.channel.parts import bot
from tests.unit.channel.slots import API, densest, grants, pause, take
from tests.waiting import until

SECOND = 1_000_000
"""Microseconds."""

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


@pytest.fixture
def spec() -> BotSpec:
    return bot("https://open.feishu.cn")


async def test_a_broadcast_holds_no_slot_that_is_farther_ahead_than_a_second(
    link: RedisLink, keys: Keys, spec: BotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is: nobody is late for a slot.
    monkeypatch.setattr("app.channel.limits._MIN_GRACE", 20_000_000)
    limiter = Limiter(link, keys, SendLimits(second=0.2, app_per_second=5))
    given = granted(limiter, monkeypatch)
    crowd = [asyncio.create_task(take(limiter, spec, chat=f"oc_{n}", priority="broadcast")) for n in range(40)]
    await until(lambda: any(task.done() for task in crowd))
    reply = await take(limiter, spec, chat="oc_reply")
    left = [await task for task in crowd]
    # By Redis' time, when each was given: one of Feishu's seconds.
    ahead = {slot: slot - now for slot, now in given}
    asked = round(reply.at * 1e6) - ahead.pop(round(reply.at * 1e6))
    assert max(ahead.values()) <= 200_000
    times = await grants(link, keys.limit_app("cli_a", API))
    assert len(times) == 41
    assert densest(times, 200_000) <= 5
    # Before the reply go those that were given before, and they are one window's.
    assert sum(asked < time < round(reply.at * 1e6) for time in times) <= 5
    # Who asked first left first.
    assert [slot.at for slot in left] == sorted(slot.at for slot in left)


def test_broadcasts_leave_room_for_replies_in_every_minute(keys: Keys, spec: BotSpec) -> None:
    bounds, windows = Bounds(keys, SendLimits()), LocalWindows(SendLimits().horizon)
    [reply], [broadcast] = bounds.of(spec, API), bounds.of(spec, API, priority="broadcast")
    waits, sent = [], 0
    for now in range(0, 200 * SECOND, SECOND // 20):
        # As many as there are slots within the second for which they may hold one.
        while windows.reserve([broadcast], now, wait=0, latest=SECOND)[1] is None:
            sent += 1
        if now % (2 * SECOND) == 0:
            waits.append(windows.reserve([reply], now, wait=0)[0] - now)
    assert max(waits) <= SECOND
    # 1000 a minute, less the headroom, what the replies took, and a little.
    assert sent + len(waits) >= 0.95 * 200 / 60 * 900


async def test_what_waits_in_line_for_the_app_is_refused_at_once_where_its_deadline_is_too_near(
    link: RedisLink, keys: Keys, spec: BotSpec
) -> None:
    limiter = Limiter(link, keys, SendLimits(app_per_second=1))
    crowd = [asyncio.create_task(take(limiter, spec, chat=f"oc_{n}", priority="broadcast")) for n in range(20)]
    await until(lambda: limiter.waiting == 19)
    told: list[float] = []
    with pytest.raises(SlotTimeout) as caught:
        await take(limiter, spec, chat="oc_late", priority="broadcast", deadline=time.time() + 5, on_wait=told.append)
    assert told == []
    assert (caught.value.retry_after or 0) > 10
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    await limiter.close()


async def test_who_waits_in_line_for_the_app_asks_together_with_those_behind(
    link: RedisLink, keys: Keys, spec: BotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.channel.limits._MIN_GRACE", 20_000_000)
    limiter = Limiter(link, keys, SendLimits(second=0.2, app_per_second=100))
    running = asyncio.create_task(limiter.run())
    await until(lambda: limiter._reserve.stands((), asyncio.get_running_loop().time()))
    trips: list[int] = []
    batch = limiter._reserve._pipe._take

    def counted(lane: Any) -> Any:
        taken = batch(lane)
        trips.append(len(taken))
        return taken

    monkeypatch.setattr(limiter._reserve._pipe, "_take", counted)
    crowd = (take(limiter, spec, chat=f"oc_{n}", priority="send") for n in range(500))
    slots = await asyncio.gather(*crowd)
    assert len({slot.at for slot in slots}) == 500
    await ended(running)
    # One by one they would be over 300.
    assert len(trips) < 150


async def test_a_limited_chat_holds_up_no_other_of_the_same_line(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(second=0.1, app_per_second=2))
    await pause(limiter, spec, 30.0, chat="oc_limited")
    stuck = asyncio.create_task(take(limiter, spec, chat="oc_limited", priority="send"))
    await until(lambda: limiter.waiting)
    slots = await asyncio.gather(*(take(limiter, spec, chat=f"oc_{n}", priority="send") for n in range(12)))
    assert len(slots) == 12
    assert not stuck.done()
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    await limiter.close()


async def test_an_alert_does_not_wait_behind_what_it_is_about(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(app_per_second=1))
    await take(limiter, spec)
    waiting = asyncio.create_task(take(limiter, spec))
    await until(lambda: limiter.waiting)
    told: list[float] = []
    await take(limiter, spec, chat="oc_ops", priority="alert", on_wait=told.append)
    assert told == []
    await pause(limiter, spec, 30.0)
    with pytest.raises(SlotTimeout):  # Feishu's own word goes for alerts too
        await take(limiter, spec, chat="oc_ops2", priority="alert", deadline=time.time() + 20)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await limiter.close()


async def test_refusals_in_a_row_double_the_pause_and_those_of_one_burst_do_not(
    link: RedisLink, keys: Keys, spec: BotSpec
) -> None:
    limiter = Limiter(link, keys, SendLimits())
    [bound, _] = limiter.bounds.of(spec, API, chat="oc_1")
    at = time.time()

    async def refused(at: float) -> float:
        return await limiter.pause(bound, None, first=0.5, longest=4.0, at=at)

    paused = await refused(at)
    assert 0.5 <= paused <= 0.55
    # The row is remembered for as long as the longest pause after it.
    assert 4000 < await link.commands.pttl(bound.pause) <= 4000 + 550
    assert await refused(at - 0.01) <= 0.55
    for seconds in (1.0, 2.0, 4.0, 4.0):
        assert seconds <= await refused(time.time() + 60) <= 1.1 * seconds


def granted(limiter: Limiter, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Slots that Redis gives from now on, each with the time at which it did; microseconds."""
    given: list[tuple[int, int]] = []
    submit = limiter._reserve._pipe.submit

    def heard(reply: asyncio.Future[Any]) -> None:
        slot, now, blamed, *_ = reply.result()
        if not blamed:
            given.append((slot, now))

    def submitted(*call: Any) -> Any:
        reply = submit(*call)
        reply.add_done_callback(heard)
        return reply

    monkeypatch.setattr(limiter._reserve._pipe, "submit", submitted)
    return given
