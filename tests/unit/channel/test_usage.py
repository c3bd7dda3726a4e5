"""What alerts and dashboard read of the limits, and the month's calls that bots share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import Quota, SendLimits
from app.channel.quotas import Quotas, month_begin, month_end, month_of
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.channel.usage import LimitUse, Usage
from app.control.alerts.readings import of_limits, of_quotas
from app.core.alert_rules import DEFAULT_RULES
from app.core.clock import SYSTEM_CLOCK
from app.core.ending import ended
from app.core.errors import FeishuLimited
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from tests.unit.channel.parts import FastClock, bot, cache_of, name, text
from tests.unit.channel.slots import API, grants, pause, take
from tests.unit.channel.stand_in import Fault, StandIn
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")
SHARED = SendLimits(quotas={"company": Quota(("support", "hr"), 100), "other": Quota((), None)})


@pytest.fixture
def usage(link: RedisLink, keys: Keys) -> Usage:
    return Usage(link, keys, SHARED)


@pytest.fixture
async def limiter(link: RedisLink, keys: Keys) -> AsyncIterator[Limiter]:
    """One whose process tells what it uses."""
    limiter = Limiter(link, keys, SendLimits())
    task = asyncio.create_task(limiter.run())
    yield limiter
    await ended(task)
    await limiter.close()


def of(uses: list[LimitUse], kind: str, span: float = 1.0) -> LimitUse:
    [use] = [use for use in uses if use.kind == kind and use.span == span]
    return use


async def test_nobody_used_anything(usage: Usage) -> None:
    assert await usage.read() == []
    assert [(use.group, use.used, use.allowed) for use in await usage.quotas()] == [("company", 0, 100)]


async def test_used_allowed_and_waiting_are_read_from_redis(
    link: RedisLink, keys: Keys, limiter: Limiter, usage: Usage
) -> None:
    spec = bot("https://open.feishu.cn", chat_per_second=2)
    for _ in range(2):
        await take(limiter, spec, chat="oc_1")
    waiting = [asyncio.create_task(take(limiter, replace(spec), chat="oc_1", priority="send")) for _ in range(30)]

    async def told() -> bool:
        uses = await usage.read()
        return any(use.kind == "chat" and use.waiting >= 20 for use in uses)

    async def as_many_as_granted() -> bool:
        granted = len(await grants(link, keys.limit_app("cli_a", API)))
        return of(await usage.read(), "app", 60.0).used == granted - 1

    await until(told)
    await until(as_many_as_granted)
    uses = await usage.read()
    chat, second, minute = of(uses, "chat"), of(uses, "app"), of(uses, "app", 60.0)
    assert (chat.name, chat.allowed) == ("oc_1", 2)
    assert 0 < chat.used <= 2
    assert chat.wait > 0.2
    assert (second.name, second.api, second.allowed) == ("cli_a", API, 50)
    assert minute.allowed == 1000
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("load", [0.9, 0.7])
async def test_a_limit_is_nearly_used_by_the_mean_of_a_minute(
    link: RedisLink, keys: Keys, limiter: Limiter, usage: Usage, load: float
) -> None:
    """Of five a second there are four in most seconds, at nine tenths of them as well as at seven."""
    spec = bot("https://open.feishu.cn")
    await take(limiter, spec, chat="oc_1")

    async def told() -> bool:
        return any(use.kind == "chat" for use in await usage.read())

    await until(told)
    [window] = limiter.bounds.of(spec, API, chat="oc_1")[0].windows
    seconds, micros = await link.commands.time()
    now, apart = seconds * 1_000_000 + micros, int(window.span / window.count / load)
    even = {str(at): at for at in range(now - 70_000_000, now + 30_000_000, apart)}
    await link.commands.zadd(keys.limit_chat("oc_1"), even)

    uses = await usage.read()
    assert of(uses, "chat").used in (3, 4, 5)
    [condition] = DEFAULT_RULES["LimitNearlyUsed"].conditions
    readings = of_limits(uses)[condition.signal.name]
    assert readings["chat oc_1 1s"] == pytest.approx(load, abs=0.02)
    assert [place for place, share in readings.items() if share > condition.bound] == (
        ["chat oc_1 1s"] if load > 0.8 else []
    )


async def test_a_pause_is_seen(limiter: Limiter, usage: Usage) -> None:
    spec = bot("https://open.feishu.cn")
    await take(limiter, spec, chat="oc_1")
    await pause(limiter, spec, 30.0, chat="oc_1")

    async def seen() -> bool:
        return any(use.paused_until for use in await usage.read())

    await until(seen)
    uses = await usage.read()
    assert (of(uses, "chat").paused_until or 0) > SYSTEM_CLOCK.now() + 20
    assert of(uses, "app").paused_until is None


async def test_only_the_busiest_chats_are_told_of(limiter: Limiter, usage: Usage) -> None:
    spec = bot("https://open.feishu.cn", app_per_second=10_000, app_per_minute=10_000)
    await asyncio.gather(*(take(limiter, spec, chat=f"oc_{n}") for n in range(100)))
    await asyncio.gather(*(take(limiter, spec, chat="oc_busy") for n in range(3)))

    async def told() -> bool:
        return sum(use.kind == "chat" for use in await usage.read()) == 20

    await until(told)
    assert any(use.name == "oc_busy" for use in await usage.read())


async def test_while_redis_is_away_each_process_keeps_its_share(link: RedisLink, keys: Keys) -> None:
    limiters = [Limiter(link, keys, SendLimits()) for _ in range(4)]
    tasks = [asyncio.create_task(limiter.run()) for limiter in limiters]
    await until(lambda: limiters[0]._meter.processes == 4)
    told: Any = await link.commands.zrange(keys.limits, 0, -1, withscores=True)
    seconds, _ = await link.commands.time()
    assert all(seconds - 60 < at / 1000 < seconds + 1 for _, at in told)
    for task in tasks:
        task.cancel()
    nowhere = await connect("unix:///nonexistent/redis.sock")
    limiters[0]._reserve._pipe = Limiter(nowhere, keys, SendLimits())._reserve._pipe
    spec = bot("https://open.feishu.cn", app_per_second=8)
    slots = await asyncio.gather(*(take(limiters[0], spec) for _ in range(4)))
    times = sorted(slot.at for slot in slots)
    assert times[2] - times[0] >= 1.0  # two of the eight a second are this process'
    assert times[3] - times[1] >= 1.0
    for limiter in limiters:
        await limiter.close()
    await nowhere.close()


async def test_calls_of_the_month_are_counted_over_all_processes(link: RedisLink, keys: Keys, usage: Usage) -> None:
    processes = [Quotas(link, keys, SHARED, SYSTEM_CLOCK) for _ in range(2)]
    for n in range(90):
        processes[n % 2].count(("support", "hr")[n // 2 % 2])
    processes[0].count("lonely")
    for quotas in (*processes, processes[0]):
        await quotas.tell()
    uses = {use.group: use for use in await usage.quotas()}
    assert (uses["company"].used, uses["company"].allowed, uses["company"].stopped) == (90, 100, False)
    assert uses["company"].projected >= 90
    assert (uses["default"].used, uses["default"].allowed) == (1, None)
    processes[0].check("support", "reply")
    with pytest.raises(FeishuLimited) as caught:  # what is left is for replies
        processes[0].check("support", "broadcast")
    assert caught.value.bound == "quota"
    assert not caught.value.retryable
    for _ in range(10):
        processes[1].count("hr")
    with pytest.raises(FeishuLimited):
        processes[1].check("hr", "reply")
    processes[1].check("hr", "alert")  # of which one says so
    processes[1].check("lonely", "broadcast")


async def test_feishus_word_stops_every_app_of_the_account_until_an_operator_says_so(
    api: FeishuApi, tokens: Tokens, link: RedisLink, keys: Keys, spec: BotSpec, feishu: StandIn, usage: Usage
) -> None:
    limits = replace(SHARED, quotas={"company": Quota(("support", "hr"))})
    one, other = Limiter(link, keys, limits), Limiter(link, keys, limits)
    senders = [Sender(api, tokens, limiter, cache_of(link, keys)) for limiter in (one, other)]
    await senders[1].send(replace(spec, id="hr"), text(), name(1), None)
    feishu.faults.append(Fault("code", code=99991403))
    with pytest.raises(FeishuLimited):
        await senders[0].send(spec, text(), name(2), None)
    asked = len(feishu.calls("/messages"))
    await other.quotas.tell()
    for sender, each in zip(senders, (spec, replace(spec, id="hr")), strict=True):
        with pytest.raises(FeishuLimited) as caught:
            await sender.send(each, text(), name(3), None)
        assert "limits resume company" in str(caught.value)
    await senders[1].send(replace(spec, id="free"), text(), name(4), None)
    assert len(feishu.calls("/messages")) == asked + 1
    [use] = [use for use in await usage.quotas() if use.group == "company"]
    assert use.stopped

    assert await usage.resume("company")
    await one.quotas.tell()
    await senders[0].send(spec, text(), name(5), None)
    assert not await usage.resume("company")
    for limiter in (one, other):
        await limiter.close()


async def test_calls_that_waited_together_do_not_overrun_the_month(
    api: FeishuApi, tokens: Tokens, link: RedisLink, keys: Keys, spec: BotSpec, feishu: StandIn
) -> None:
    limiter = Limiter(link, keys, SendLimits(quotas={"company": Quota(("support",), 3)}))
    sender = Sender(api, tokens, limiter, cache_of(link, keys))
    sends = (sender.send(spec, text(f"oc_{n}"), name(n), None) for n in range(8))
    done = await asyncio.gather(*sends, return_exceptions=True)
    assert sum(isinstance(each, FeishuLimited) for each in done) == 5
    assert len(feishu.calls("/messages")) == 3
    await limiter.close()


async def test_a_new_month_begins_anew(link: RedisLink, keys: Keys) -> None:
    clock = FastClock()
    quotas = Quotas(link, keys, SendLimits(quotas={"company": Quota(("support",), 1)}), clock)
    quotas.count("support")
    with pytest.raises(FeishuLimited) as caught:
        quotas.check("support", "reply")
    clock.jumped += (caught.value.retry_after or 0) + 1
    quotas.check("support", "reply")
    await quotas.tell()


@pytest.mark.parametrize(
    ("passed", "calls", "runs_out"),
    [(600, 3, False), (600, 2000, True), (43_200, 200, False), (864_000, 3300, False), (864_000, 3400, True)],
    ids=["first minutes", "a flood", "first day", "enough", "too many"],
)
async def test_a_month_that_has_just_begun_says_little_of_its_end(
    link: RedisLink, keys: Keys, passed: int, calls: int, runs_out: bool
) -> None:
    clock = FastClock()
    clock.jumped = month_begin(clock.now()) + passed - clock.now()
    limits = SendLimits(quotas={"company": Quota(("support",), 10_000)})
    quotas = Quotas(link, keys, limits, clock)
    for _ in range(calls):
        quotas.count("support")
    await quotas.tell()
    [use] = await Usage(link, keys, limits, clock=clock).quotas()
    [condition] = DEFAULT_RULES["QuotaRunsOut"].conditions
    assert (of_quotas([use])[condition.signal.name]["company"] > condition.bound) is runs_out


def test_months_are_beijings() -> None:
    now = datetime(2026, 11, 30, 16, 30, tzinfo=UTC).timestamp()
    assert month_of(now) == "2026-12"
    assert month_of(now - 3600) == "2026-11"
    assert month_begin(now) == month_end(now - 3600) == datetime(2026, 11, 30, 16, tzinfo=UTC).timestamp()
