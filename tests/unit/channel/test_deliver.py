"""What becomes of one message that cannot be sent now: its chat waits, is handed back, or goes on without it."""

from __future__ import annotations

from typing import Any

import pytest

from app.channel.deliver import Delivery
from app.channel.tokens import Tokens
from app.core.errors import (
    AppRefused,
    FeishuLimited,
    FeishuRefused,
    FeishuUnavailable,
    HubError,
    SlotTimeout,
    StoreUnavailable,
)
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.queue.work import Work
from tests.unit.channel.node import Catalog, Channel
from tests.unit.channel.parts import FastClock
from tests.unit.channel.stand_in import StandIn
from tests.unit.channel.test_drain import FREE

KEEP_TRYING = 60.0


@pytest.fixture
def channel(link: RedisLink, keys: Keys, api: FeishuApi, tokens: Tokens, spec: BotSpec) -> Channel:
    return Channel(link, keys, api, tokens, Catalog(spec), FREE)


@pytest.fixture
def delivery(channel: Channel) -> Delivery:
    return Delivery(channel.outbox, channel.sender, keep_trying=KEEP_TRYING, clock=FastClock(), chance=lambda: 0.5)


async def taken(channel: Channel, node: str = "n1") -> list[Work]:
    return await channel.outbox.queue.mailbox.take("support", f"{node}:b:out", 8, calls=8)


def failing(channel: Channel, error: Exception) -> None:
    async def fails(*_: Any, **_more: Any) -> None:
        raise error

    channel.sender.send = fails  # type: ignore[method-assign, assignment]


def whole_app() -> SlotTimeout:
    error = SlotTimeout("the app is full", retry_after=30.0)
    error.whole_app = True
    return error


def used_up() -> FeishuLimited:
    error = FeishuLimited("the month is over", retryable=False)
    error.bound = "quota"
    return error


@pytest.mark.parametrize(
    ("error", "failures", "seconds"),
    [
        (SlotTimeout("the chat is full", retry_after=30.0), 0, 30.0),
        (FeishuUnavailable("away", retry_after=30.0), 0, 30.0),
        (FeishuLimited("too many", retry_after=30.0), 0, 30.0),
        (FeishuUnavailable("away"), 0, 1.0),
        (FeishuUnavailable("away"), 3, 8.0),
        (FeishuUnavailable("away"), 9, 60.0),
    ],
    ids=["no slot", "as Feishu says", "limited", "first", "fourth", "longest"],
)
async def test_a_chat_that_has_to_wait_is_parked(
    channel: Channel,
    delivery: Delivery,
    spec: BotSpec,
    link: RedisLink,
    keys: Keys,
    error: HubError,
    failures: int,
    seconds: float,
) -> None:
    await channel.put(1)
    await channel.put(2)
    [work] = await taken(channel)
    failing(channel, error)
    assert await delivery.one(work._replace(failures=failures), spec, 1.0, True) is None
    assert await taken(channel, "n2") == [], "the second message does not overtake the first"
    delayed: Any = await link.commands.zrange(keys.outbox().bot("support", "delayed"), 0, -1, withscores=True)
    [(_, due)] = delayed
    now, _ = await link.commands.time()
    assert seconds - 2 < due / 1000 - now <= seconds + 1


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (whole_app(), SlotTimeout),
        (used_up(), FeishuLimited),
        (AppRefused("wrong secret"), AppRefused),
        (StoreUnavailable("away"), None),
    ],
    ids=["app full", "month over", "app refused", "no Redis"],
)
async def test_a_chat_that_this_node_can_do_nothing_for_is_handed_back_at_once(
    channel: Channel, delivery: Delivery, spec: BotSpec, error: HubError, raised: type[HubError] | None
) -> None:
    await channel.put(1)
    [work] = await taken(channel)
    failing(channel, error)
    if raised is None:
        assert await delivery.one(work, spec, 1.0, True) is None
    else:
        with pytest.raises(raised):
            await delivery.one(work, spec, 1.0, True)
    [again] = await taken(channel, "n2")
    assert (again.entry, again.starts, again.failures) == (work.entry, work.starts, 0)


@pytest.mark.parametrize(
    ("error", "held"),
    [(FeishuUnavailable("still away"), KEEP_TRYING), (FeishuRefused("not in the chat"), 0.0)],
    ids=["held up long enough", "refused"],
)
async def test_what_will_not_be_taken_fails_and_the_next_one_follows(
    channel: Channel, delivery: Delivery, spec: BotSpec, error: HubError, held: float
) -> None:
    first, second = await channel.put(1), await channel.put(2)
    [work] = await taken(channel)
    failing(channel, error)
    following = await delivery.one(work._replace(held=held), spec, 1.0, True)
    assert following is not None
    assert following.entry.event_id == second
    found = await channel.state(first)
    assert (found.state, found.reason) == ("failed", str(error))


async def test_a_fault_of_the_hubs_own_holds_nobody_up_for_ever(
    channel: Channel, delivery: Delivery, spec: BotSpec
) -> None:
    first, second = await channel.put(1), await channel.put(2)
    [work] = await taken(channel)
    failing(channel, ValueError("secret words"))
    assert await delivery.one(work, spec, 1.0, True) is None
    assert await taken(channel, "n2") == [], "it is tried again, in order"
    while not (await channel.leases.sweep(["support"])).retries:
        pass
    [work] = await taken(channel, "n2")
    following = await delivery.one(work._replace(held=KEEP_TRYING), spec, 1.0, True)
    assert following is not None
    assert following.entry.event_id == second
    found = await channel.state(first)
    assert (found.state, found.reason) == ("failed", "ValueError")


async def test_what_was_said_while_redis_was_away_is_noted_when_it_is_back(
    channel: Channel, delivery: Delivery, spec: BotSpec, feishu: StandIn
) -> None:
    message = await channel.put(1)
    [work] = await taken(channel)
    record = channel.outbox.queue.record(work)
    write = record.record

    async def away(*_: object) -> None:
        record.record = write  # type: ignore[method-assign]
        raise StoreUnavailable("away")

    record.record = away  # type: ignore[method-assign, assignment]
    channel.outbox.queue.record = lambda work: record  # type: ignore[method-assign]
    assert await delivery.one(work, spec, 1.0, True) is None
    found = await channel.state(message)
    assert (found.state, found.message_id) == ("sent", feishu.said[0].message_id)
