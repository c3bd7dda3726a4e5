"""Schedules: each firing is one event in the cluster, and a missed one is not made up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from app.channel.sender import Sender
from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.cron_tick import CronTick
from app.worker.cron import Cron
from app.worker.lane import Lane
from app.worker.roster import Roster
from tests.unit.worker.conftest import Site
from tests.unit.worker.test_quarantine import StillClock
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")

# Monday, 8:59:30 in Shanghai
START = datetime(2026, 11, 23, 8, 59, 30, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp()


@pytest.fixture
def clock() -> StillClock:
    clock = StillClock()
    clock.at = START
    return clock


def cron(site: Site, clock: StillClock) -> Cron:
    """One worker's view of the schedules."""
    roster = Roster(Lane(1, 0, "shared", "test:1"), site.bots, site.bots, cast(Sender, site.mouth), clock=clock)
    return Cron(roster, site.mailbox, site.keyring, clock=clock)


def daily(ticks: list[CronTick]) -> Bot[Any]:
    bot = Bot()

    @bot.cron("0 9 * * 1-5")
    async def morning(tick: CronTick, ctx: Context) -> None:
        ticks.append(tick)
        await ctx.send("oc_9", "good morning")

    return bot


async def test_a_firing_is_one_event_whoever_fires_it(site: Site, clock: StillClock) -> None:
    ticks: list[CronTick] = []
    site.add(daily(ticks))
    nodes = [cron(site, clock) for _ in range(3)]
    for one in nodes:
        await one.fire_due()
    clock.at = START + 31
    for one in nodes:
        await one.fire_due()
        await one.fire_due()
    assert await site.mailbox.depth("echo") == 1
    await site.worker()
    await until(site.done)
    (tick,) = ticks
    assert (tick.name, tick.at.astimezone(UTC).hour) == ("morning", 1)
    assert site.mouth.said == [("echo", "oc_9", "good morning")]


async def test_the_next_day_is_another_firing(site: Site, clock: StillClock) -> None:
    site.add(daily([]))
    one = cron(site, clock)
    await one.fire_due()
    for day in range(2):
        clock.at = START + 31 + day * 86_400
        await one.fire_due()
    assert await site.mailbox.depth("echo") == 2


async def test_what_was_due_while_nobody_looked_is_not_made_up(site: Site, clock: StillClock) -> None:
    site.add(daily([]))
    one = cron(site, clock)
    await one.fire_due()
    clock.at = START + 3600
    await one.fire_due()
    assert await site.mailbox.depth("echo") == 0
