"""Floods at two gateways with one Redis: what each answers is what both together have had."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.gateway.admission import Admission
from app.gateway.floods import Floods
from app.gateway.rates import Rates
from app.gateway.refusals import MOST, Refusals
from tests.scenario.front import Front, open_front, refusal
from tests.unit.gateway.flood_time import FloodTime
from tests.unit.gateway.kit import bot, message, plain_request, sealed_request

RATE = 30
SECONDS = 3.0


@dataclass
class Gateway:
    """A gateway, and how it shares its floods."""

    front: Front
    floods: Floods
    time: FloodTime


@pytest.fixture
async def gateways(link: RedisLink, keys: Keys, no_key_without_ttl: None) -> AsyncIterator[list[Gateway]]:
    async with AsyncExitStack() as closing:
        found, time = [], FloodTime(link, keys.rate("support"))
        for _ in range(2):
            rates, refusals = Rates(clock=time), Refusals()
            admission = Admission(rates=rates, refusals=refusals)
            front = await closing.enter_async_context(open_front(link, keys, None, admission))
            found.append(Gateway(front, Floods(rates, refusals, link, keys), time))
        yield found


async def test_events_per_second_hold_over_both(gateways: list[Gateway]) -> None:
    statuses: Counter[int] = Counter()
    time, passed = gateways[0].time, 0.0
    for gateway in gateways:
        gateway.front.bots.bots["support"] = bot("support", events_per_second=RATE)
    while passed < SECONDS:
        began = time.time
        for gateway in gateways:
            # Twice the rate, at each of them.
            for _ in range(2 * RATE // 10):
                response = await gateway.front.post(sealed_request(message()))
                statuses[response.status_code] += 1
                if response.status_code == 503:
                    assert refusal(response)[1]["code"] == "unavailable"
                    assert int(response.headers["retry-after"]) >= 1
            await time.share(gateway.floods, 0.05)
        passed += time.time - began
    assert statuses.keys() == {200, 503}
    assert len(await gateways[0].front.kept()) == statuses[200]
    # A second's worth may come at once, beside what the time brings.
    assert 0.9 * RATE <= (statuses[200] - RATE) / passed <= 1.1 * RATE


async def test_refused_requests_count_at_both(gateways: list[Gateway]) -> None:
    wrong = plain_request(message())
    first, second = gateways
    for gateway in gateways:
        for _ in range(MOST // 2):
            assert (await gateway.front.post(wrong)).status_code == 401
        await gateway.floods.share()
    response = await second.front.post(wrong)
    assert (refusal(response)[1]["code"], response.status_code) == ("too_many_requests", 429)
    assert response.headers["retry-after"] == "60"
    # Who told before the other learns of it with its next one.
    assert (await first.front.post(wrong)).status_code == 401
    await first.floods.share()
    assert (await first.front.post(wrong)).status_code == 429
    for gateway in gateways:
        assert (await gateway.front.post(sealed_request(message()))).status_code == 200
