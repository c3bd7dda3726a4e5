"""Traffic is read from what the logs count themselves, whoever wrote to them."""

from __future__ import annotations

from app.control.dashboard.traffic import Traffic
from app.core.keys import Keys
from app.core.redis import RedisLink
from tests.unit.control.dashboard.conftest import HandClock


async def add(link: RedisLink, key: str, count: int) -> None:
    for _ in range(count):
        await link.commands.xadd(key, {"e": b"x"})


async def test_rates_are_gains_over_a_minute(link: RedisLink, keys: Keys, clock: HandClock) -> None:
    traffic = Traffic(link, keys, lambda: ("a", "b"), clock=clock)
    await add(link, keys.bot("a", "log"), 3)
    await traffic.sample()
    assert traffic.of("a").per_minute == 0
    clock.ahead(30)
    await add(link, keys.bot("a", "log"), 10)
    # What was handled and archived is deleted, and was traffic all the same.
    await link.commands.xtrim(keys.bot("a", "log"), maxlen=0)
    await add(link, keys.bot("a", "dead"), 2)
    await traffic.sample()
    seen = traffic.of("a")
    assert seen.per_minute == 20
    assert seen.last is not None
    assert (traffic.of("b").per_minute, traffic.of("b").last) == (0, None)
    chart = traffic.chart()
    assert (chart.moments, chart.messages, chart.dead) == ((clock.now(),), (20,), (4,))


async def test_an_old_burst_is_no_traffic_now(link: RedisLink, keys: Keys, clock: HandClock) -> None:
    traffic = Traffic(link, keys, lambda: ("a",), clock=clock)
    await traffic.sample()
    await add(link, keys.bot("a", "log"), 50)
    for _ in range(8):
        clock.ahead(10)
        await traffic.sample()
    assert traffic.of("a").per_minute == 0
    assert max(traffic.chart().messages) == 300


async def test_a_shredded_bot_begins_anew(link: RedisLink, keys: Keys, clock: HandClock) -> None:
    traffic = Traffic(link, keys, lambda: ("a",), clock=clock)
    await add(link, keys.bot("a", "log"), 5)
    await traffic.sample()
    clock.ahead(10)
    await link.commands.delete(keys.bot("a", "log"))
    await traffic.sample()
    assert traffic.of("a").per_minute == 0
    assert traffic.of("unknown").per_minute == 0
