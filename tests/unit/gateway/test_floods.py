"""Floods: events a second and refused requests, of one gateway alone and of several over one Redis."""

from __future__ import annotations

import asyncio
import random

import pytest

from app.core.errors import StoreUnavailable, TooMany, Unavailable
from app.core.keys import Keys
from app.core.lua import Pipeliner
from app.core.redis import RedisLink
from app.gateway.floods import Floods
from app.gateway.rates import Rates
from app.gateway.refusals import Refusals
from tests.hand_clock import HandClock
from tests.unit.gateway.flood_time import FloodTime
from tests.unit.gateway.kit import bot


def allowed(rates: Rates, rate: float, tries: int) -> int:
    spec, count = bot(events_per_second=rate), 0
    for _ in range(tries):
        try:
            rates.check(spec)
        except Unavailable:
            continue
        count += 1
    return count


def refused(refusals: Refusals, tries: int, source: str = "192.0.2.1", bot_id: str = "a") -> int:
    count = 0
    for _ in range(tries):
        try:
            refusals.note(bot_id, source)
        except TooMany:
            count += 1
    return count


# -- alone ---------------------------------------------------------------------------------------------------


def test_a_second_s_worth_may_come_at_once() -> None:
    assert allowed(Rates(), 5, 20) == 5


def test_alone_a_gateway_keeps_the_rate_by_itself() -> None:
    clock = HandClock()
    rates = Rates(clock=clock)
    rates.go_alone()
    assert allowed(rates, 5, 20) == 5
    clock.time += 0.5
    assert allowed(rates, 5, 20) in (2, 3)
    clock.time += 100
    assert allowed(rates, 5, 20) == 5


def test_alone_with_less_than_one_event_a_second() -> None:
    clock = HandClock()
    rates = Rates(clock=clock)
    rates.go_alone()
    assert allowed(rates, 0.5, 3) == 1
    clock.time += 1.9
    assert allowed(rates, 0.5, 3) == 0
    clock.time += 0.2
    assert allowed(rates, 0.5, 3) == 1


def test_without_a_rate_everything_passes() -> None:
    rates = Rates()
    for _ in range(1000):
        rates.check(bot())


def test_too_many_refusals_of_one_address_for_one_bot() -> None:
    clock = HandClock()
    refusals = Refusals(most=3, clock=clock)
    assert refused(refusals, 3) == 0
    with pytest.raises(TooMany) as caught:
        refusals.note("a", "192.0.2.1")
    assert caught.value.retry_after == 60
    assert refused(refusals, 1, source="192.0.2.2") == 0
    assert refused(refusals, 1, bot_id="b") == 0
    clock.time += 61
    assert refused(refusals, 1) == 0


def test_memory_of_refusals_is_bounded() -> None:
    refusals = Refusals(most=1)
    for number in range(12_000):
        refusals.note("a", f"2001:db8::{number:x}")
    assert len(refusals._counts) == 10_000
    assert len(refusals._untold["a"]) == 10_000


# -- together ------------------------------------------------------------------------------------------------


class Gateways:
    """Gateways with one Redis."""

    def __init__(self, link: RedisLink, keys: Keys, count: int, most: int = 20) -> None:
        self.time = FloodTime(link, keys.rate(bot().id))
        self.rates = [Rates(clock=self.time, chance=random.Random(n)) for n in range(count)]
        self.refusals = [Refusals(most=most) for _ in range(count)]
        self.floods = [
            Floods(rates, refusals, link, keys) for rates, refusals in zip(self.rates, self.refusals, strict=True)
        ]

    async def share(self) -> None:
        for floods in self.floods:
            await floods.share()


async def admitted(gateways: Gateways, rate: float, pace: list[float], seconds: float) -> float:
    """Events a second let in by all gateways; each is offered `pace` events a second, for so long."""
    time, let_in, offered = gateways.time, 0, [0] * len(pace)
    began = time.time
    while (passed := time.time - began) < seconds:
        for number, each in enumerate(pace):
            while offered[number] < (time.time - began) * each:
                offered[number] += 1
                let_in += allowed(gateways.rates[number], rate, 1)
            # One after the other, each ten times a second.
            await time.share(gateways.floods[number], 0.1 / len(pace))
    # A second's worth may come at once, beside what the time brings.
    return (let_in - rate) / passed


@pytest.mark.parametrize(
    ("rate", "pace"),
    [
        pytest.param(200, [400.0, 400.0], id="even"),
        pytest.param(200, [1000.0, 100.0], id="uneven"),
        pytest.param(40, [100.0, 100.0, 100.0, 100.0, 100.0], id="five gateways"),
    ],
)
async def test_the_rate_holds_over_all_gateways(
    link: RedisLink, keys: Keys, no_key_without_ttl: None, rate: float, pace: list[float]
) -> None:
    assert 0.9 * rate <= await admitted(Gateways(link, keys, len(pace)), rate, pace, 10.0) <= 1.1 * rate


async def test_a_flood_below_the_rate_is_let_in_whole(link: RedisLink, keys: Keys) -> None:
    gateways = Gateways(link, keys, 2)
    for _ in range(5):
        assert allowed(gateways.rates[0], 1000, 30) == 30
        assert allowed(gateways.rates[1], 1000, 3) == 3
        await gateways.share()


async def test_what_one_gateway_let_in_the_other_no_longer_does(link: RedisLink, keys: Keys) -> None:
    gateways = Gateways(link, keys, 2)
    rate = 0.01  # so that no time brings any
    assert allowed(gateways.rates[0], rate, 1) == 1
    await gateways.share()
    assert allowed(gateways.rates[1], rate, 1) == 1  # nothing was known here
    await gateways.share()
    assert [allowed(rates, rate, 5) for rates in gateways.rates] == [0, 0]


async def test_without_redis_each_gateway_keeps_to_its_part(
    link: RedisLink, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateways = Gateways(link, keys, 2)
    for _ in range(2):
        for rates in gateways.rates:
            allowed(rates, 100, 5)
        await gateways.share()

    def away(*_: object) -> asyncio.Future[object]:
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        future.set_exception(StoreUnavailable("away"))
        return future

    with monkeypatch.context() as patched:
        patched.setattr(Pipeliner, "submit", away)
        for rates in gateways.rates:
            allowed(rates, 100, 5)
        await gateways.share()
        assert [allowed(rates, 100, 1000) for rates in gateways.rates] == [50, 50]
    await gateways.share()
    assert all(allowed(rates, 100, 200) > 0 for rates in gateways.rates)


async def test_nothing_is_told_where_nothing_came(link: RedisLink, keys: Keys) -> None:
    gateways = Gateways(link, keys, 1)
    assert allowed(gateways.rates[0], 100, 5) == 5
    assert refused(gateways.refusals[0], 1) == 0
    await gateways.share()
    assert await link.commands.delete(keys.rate(bot().id), keys.refused("a")) == 2
    await gateways.share()
    assert not await link.commands.exists(keys.rate(bot().id), keys.refused("a"))


async def test_refusals_count_over_all_gateways(link: RedisLink, keys: Keys, no_key_without_ttl: None) -> None:
    gateways = Gateways(link, keys, 3, most=20)
    for refusals in gateways.refusals:
        assert refused(refusals, 7) == 0
    await gateways.share()
    await gateways.share()
    assert await link.commands.hvals(keys.refused("a")) == [b"21"]
    # The last to tell knows of all; who told before learns it with its next one.
    assert refused(gateways.refusals[2], 1) == 1
    assert refused(gateways.refusals[1], 1) == 0
    assert refused(gateways.refusals[0], 1) == 0
    await gateways.share()
    assert refused(gateways.refusals[0], 1) == 1
    assert refused(gateways.refusals[0], 1, source="192.0.2.2") == 0
    assert 50_000 < await link.commands.pttl(keys.refused("a")) <= 60_000


async def test_addresses_in_redis_are_bounded_and_not_in_clear(link: RedisLink, keys: Keys) -> None:
    gateways = Gateways(link, keys, 2)
    for number in range(11_000):
        gateways.refusals[0].note("a", f"2001:db8::{number:x}")
    for _ in range(25):
        await gateways.share()
    assert await link.commands.hlen(keys.refused("a")) == 10_000
    assert b"2001:db8::1" not in await link.commands.hkeys(keys.refused("a"))
    # Who finds no room there any more is still counted here.
    assert refused(gateways.refusals[1], 20) == 0
    await gateways.share()
    assert refused(gateways.refusals[1], 1) == 1
