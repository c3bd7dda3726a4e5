"""Who waits for a slot hears of pauses as they begin, so that it need not ask anew when its time has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.core.ending import ended
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.bot import BotSpec
from tests.unit.channel.slots import pause, paused_until, take
from tests.waiting import until

# One message in 0.4 s into a chat.
LIMITS = SendLimits(second=0.2, headroom=0.5, chat_per_second=1)


@pytest.fixture
async def limiter(link: RedisLink, keys: Keys) -> AsyncIterator[Limiter]:
    """One that runs, and hears."""
    limiter = Limiter(link, keys, LIMITS)
    running = asyncio.create_task(limiter.run())

    async def hears() -> bool:
        return limiter._reserve.stands((), asyncio.get_running_loop().time())

    await until(hears)
    yield limiter
    await ended(running)
    await limiter.close()


async def test_what_was_waited_for_is_used_without_asking_again(
    limiter: Limiter, spec: BotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is: nobody is late for a slot.
    monkeypatch.setattr("app.channel.limits._MIN_GRACE", 20_000_000)
    asked: list[Any] = []
    submit = limiter._reserve._pipe.submit

    def counted(*call: Any) -> Any:
        asked.append(call)
        return submit(*call)

    first = await take(limiter, spec, chat="oc_1")
    monkeypatch.setattr(limiter._reserve._pipe, "submit", counted)
    second = await take(limiter, spec, chat="oc_1")
    assert round((second.at - first.at) * 1e6) >= 400_000
    assert len(asked) == 1


async def test_a_pause_that_another_node_begins_is_heard(
    limiter: Limiter, link: RedisLink, keys: Keys, spec: BotSpec
) -> None:
    other = Limiter(link, keys, LIMITS)
    await take(limiter, spec, chat="oc_1")
    waiting = asyncio.create_task(take(limiter, spec, chat="oc_1"))
    await until(lambda: limiter.waiting)
    await pause(other, spec, 0.8, chat="oc_1")
    paused = await paused_until(link, keys.limit_chat("oc_1"), keys)
    assert (await waiting).at >= paused
    await other.close()
