"""Without Redis each process keeps to the limits by itself, and what was granted on one side counts on the other."""

from __future__ import annotations

import asyncio
import time

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.core.errors import SlotTimeout
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.model.bot import BotSpec
from tests.unit.channel.slots import API, QUICK, densest, grants, pause, take
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_a_node_goes_on_without_redis(keys: Keys, spec: BotSpec) -> None:
    nowhere = await connect("unix:///nonexistent/redis.sock")
    limiter = Limiter(nowhere, keys, QUICK)
    slots = await asyncio.gather(*(take(limiter, spec, chat="oc_1") for _ in range(12)))
    times = sorted(round(slot.at * 1e6) for slot in slots)
    assert densest(times, 50_000) <= 5
    await pause(limiter, spec, 30.0)
    with pytest.raises(SlotTimeout):
        await take(limiter, spec, deadline=time.time() + 1)
    await nowhere.close()


async def test_what_redis_granted_counts_when_redis_goes_away(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(chat_per_second=2))
    for _ in range(2):
        await take(limiter, spec, chat="oc_1")
    nowhere = await connect("unix:///nonexistent/redis.sock")
    limiter._reserve._pipe = Limiter(nowhere, keys, SendLimits())._reserve._pipe
    with pytest.raises(SlotTimeout):
        await take(limiter, spec, chat="oc_1", deadline=time.time() + 0.3)
    await limiter.close()
    await nowhere.close()


async def test_what_a_node_granted_alone_counts_when_redis_is_back(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(second=0.2, app_per_minute=3))
    await take(limiter, spec, chat="oc_1")
    reserve = limiter._reserve
    nowhere = await connect("unix:///nonexistent/redis.sock")
    there, reserve._pipe = reserve._pipe, Limiter(nowhere, keys, SendLimits())._reserve._pipe
    slots = [await take(limiter, spec, chat=f"oc_{n}") for n in range(2)]
    assert await grants(link, keys.limit_chat("oc_0")) == []
    reserve._pipe = there
    await until(lambda: not reserve._is_away())
    await take(limiter, spec, chat="oc_2")

    async def told() -> bool:
        return len(await grants(link, keys.limit_app("cli_a", API))) == 4

    await until(told)
    # By Redis' clock, as the others are: so far apart as they were here.
    app = await grants(link, keys.limit_app("cli_a", API))
    assert abs((app[2] - app[1]) / 1e6 - (slots[1].at - slots[0].at)) < 1e-5
    assert app[1] in await grants(link, keys.limit_chat("oc_0"))
    with pytest.raises(SlotTimeout):
        await take(limiter, spec, chat="oc_3", deadline=time.time() + 0.1)
    await limiter.close()
    await nowhere.close()
