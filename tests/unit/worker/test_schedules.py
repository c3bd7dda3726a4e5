"""Schedules and reminders from the worker's side: declared by code and directory, handled as events."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.channel.sender import Sender
from app.control.scheduler.firing import Firing
from app.core.clock import SystemClock
from app.core.errors import Misused
from app.core.outage import guard
from app.model.schedule import Schedule
from app.sdk import Bot, BotTest, Card, Context, CronTick, Markdown, Message, Post
from app.worker.declare import Declarer
from app.worker.lane import Lane
from app.worker.roster import Roster
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import message, spec
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")

CARD = {"schema": "2.0", "body": {"elements": []}}


def planned(seen: list[CronTick]) -> Bot[Any]:
    bot = Bot()

    @bot.cron("0 18 * * 5", missed="once")
    @bot.cron("0 9 * * 1-5")
    async def morning(tick: CronTick, ctx: Context) -> None:
        seen.append(tick)
        if tick.chat_id:
            await ctx.reply("good morning")

    @bot.cron()
    async def remind(tick: CronTick, ctx: Context) -> None:
        seen.append(tick)
        await ctx.reply(f"remember {tick.data}")

    @bot.message()
    async def later(message: Message, ctx: Context) -> None:
        await ctx.later("10ms", remind, ["milk"])
        await ctx.later(0.01, "bread")
        if ctx.attempt == 1:
            raise LookupError("try again")

    return bot


def firing(site: Site) -> Firing:
    return Firing(site.timetable, site.mailbox, site.keyring, site.bots)


async def names(site: Site) -> list[str]:
    return sorted(one.name for one in await site.timetable.all("echo"))


async def test_code_and_directory_declare_and_what_goes_is_undeclared(site: Site) -> None:
    schedules = [
        {"name": "hello", "cron": "0 8 * * *", "chat": "oc_1", "message": "hello"},
        {"name": "morning", "cron": "0 7 * * *", "tz": "UTC", "chat": "oc_2"},
    ]
    site.add(planned([]), schedules=schedules)
    await site.worker()
    await until(lambda: _names_are(site, ["hello", "morning", "morning-2"]))
    found = await site.timetable.show("echo", "morning")
    assert found is not None
    assert (found.cron, found.tz, found.chat) == ("0 7 * * *", "UTC", "oc_2")
    site.bots.change(spec(revision="2"))
    await until(lambda: _names_are(site, ["morning", "morning-2"]))
    found = await site.timetable.show("echo", "morning")
    assert found is not None
    assert (found.cron, found.missed) == ("0 9 * * 1-5", "skip")


async def test_what_redis_forgot_is_declared_anew(site: Site) -> None:
    class Later(SystemClock):
        ahead = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.ahead

    daily, clock = Schedule("daily", "0 9 * * *", "UTC"), Later()
    resident = SimpleNamespace(spec=SimpleNamespace(id="echo"), schedules={"daily": SimpleNamespace(schedule=daily)})
    roster = cast(Roster, SimpleNamespace(everyone=lambda: [resident]))
    declarer = Declarer(roster, site.timetable, clock=clock)
    await declarer.declare()
    assert await site.timetable.pause("echo", "daily")
    clock.ahead = 60.0
    await declarer.declare()
    (planned,) = await site.timetable.all("echo")
    assert planned.paused, "what is known stays as it is"
    for part in ("schedules", "timers"):
        await site.link.commands.delete(site.keys.bot("echo", part))
    await declarer.declare()
    assert await names(site) == []
    clock.ahead = 120.0
    await declarer.declare()
    assert await names(site) == ["daily"]


async def _names_are(site: Site, expected: list[str]) -> bool:
    return await names(site) == expected


async def test_a_firing_runs_its_handler_or_says_its_message(site: Site) -> None:
    seen: list[CronTick] = []
    schedules = [
        {"name": "hello", "cron": "0 8 * * *", "chat": "oc_1", "message": "hello"},
        {"name": "card", "cron": "0 8 * * *", "chat": "oc_3", "message": CARD},
        {"name": "early", "cron": "0 7 * * *", "handler": "morning", "chat": "oc_2"},
    ]
    site.add(planned(seen), schedules=schedules)
    await site.worker()
    await until(lambda: _names_are(site, ["card", "early", "hello", "morning", "morning-2"]))
    for name in ("early", "morning-2"):
        assert await firing(site).run_now(site.bots.bots["echo"], name)
    await until(site.done)
    assert sorted((tick.name, tick.chat_id) for tick in seen) == [("morning", ""), ("morning", "oc_2")]
    assert site.mouth.said == [("echo", "oc_2", "good morning")]
    for name in ("hello", "card"):
        assert await firing(site).run_now(site.bots.bots["echo"], name)
    await until(site.done)
    works = await site.outbox.queue.mailbox.take("echo", "n:b:out", 10, calls=10)
    letters = [await site.outbox.open(work) for work in works]
    assert sorted(letter.message.msg_type for letter in letters) == ["interactive", "text"]


async def test_a_reminder_is_made_once_and_comes_once(site: Site) -> None:
    seen: list[CronTick] = []
    site.add(planned(seen), message={"retry_policy": {"backoff": "1ms"}})
    await site.accept(message(1, "x", site.cipher, chat="oc_5"))
    await site.worker()
    node = firing(site)

    async def reminded() -> bool:
        await node.fire_due()
        await site.leases.sweep(["echo"])
        return bool(seen) and await site.done() and await site.outbox.queue.depth("echo") == 1

    await until(reminded)
    await reminded()
    [tick] = seen
    assert (tick.name, tick.data, tick.chat_id, tick.event.user_id) == ("remind", ["milk"], "oc_5", "ou_1")
    assert site.mouth.said == [("echo", "oc_5", "remember ['milk']")]
    assert [one for one in await site.timetable.all("echo") if one.schedule is None] == []


async def test_reminders_lie_sealed(site: Site) -> None:
    bot = Bot()

    @bot.message()
    async def later(message: Message, ctx: Context) -> None:
        await ctx.later("1h", "王的秘密")

    site.add(bot)
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    await until(site.done)
    with guard():
        kept = await site.link.commands.hvals(site.keys.bot("echo", "reminders"))
    [one] = kept
    assert "王".encode() not in one


async def test_a_reminder_for_a_function_that_is_gone_is_a_dead_letter(site: Site) -> None:
    bot = Bot()

    @bot.message()
    async def later(message: Message, ctx: Context) -> None:
        async def remind(tick: CronTick, ctx: Context) -> None: ...

        await ctx.later("10ms", remind)

    site.add(bot)
    await site.worker()
    await site.accept(message(1, "x", site.cipher))
    await until(site.done)
    node = firing(site)

    async def buried() -> bool:
        await node.fire_due()
        return bool(await site.letters())

    await until(buried)
    [letter] = await site.letters()
    assert "no @bot.cron function remind" in letter.detail


def test_a_directory_that_names_no_function_is_a_fault(site: Site) -> None:
    site.add(planned([]), schedules=[{"name": "x", "cron": "* * * * *", "handler": "evening"}])
    roster = Roster(Lane(1, 0, "shared", "test:1"), site.bots, site.bots, cast(Sender, site.mouth))
    assert "evening; the handler has: morning, remind" in roster.faults()["echo"]


@pytest.mark.parametrize(
    "content",
    ["milk", Card.raw(CARD), Post("**milk**", title="t"), Markdown("**m**")],
    ids=lambda one: type(one).__name__,
)
async def test_bot_test_lets_reminders_be_due(content: Any) -> None:
    bot = Bot()

    @bot.command("say")
    async def say(message: Message, ctx: Context) -> None:
        await ctx.later("30m", content)

    test = BotTest(bot)
    await test.message("/say", chat="oc_3")
    assert await test.remind() == [test.reminders[0].shown]
    assert test.reminders[0].delay == 1800
    assert test.sent[0].chat_id == "oc_3"


async def test_bot_test_runs_what_was_put_off() -> None:
    seen: list[CronTick] = []
    test = BotTest(planned(seen))
    await test.message("x", attempt=2)
    assert [one.handler for one in test.reminders] == ["remind", ""]
    await test.remind(0)
    assert test.replies[-1].content == "remember ['milk']"
    assert await test.remind() == ["bread"]


@pytest.mark.parametrize(("what", "data"), [("text", {"a": 1}), (None, None)], ids=["data for a text", "nothing"])
async def test_what_cannot_be_put_off_is_refused(what: Any, data: Any) -> None:
    bot = Bot()

    @bot.message()
    async def later(message: Message, ctx: Context) -> None:
        await ctx.later("1s", what, data)

    with pytest.raises(Misused):
        await BotTest(bot).message("x")
