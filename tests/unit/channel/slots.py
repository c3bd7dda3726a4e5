"""Asking for slots, and what was granted."""

from __future__ import annotations

import time
from typing import Any

from app.channel.limiter import Limiter, OnWait, Slot
from app.channel.limits import Priority, SendLimits
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.bot import BotSpec

API = "im.message.create"
# A Feishu whose second takes 50 ms, its minute 3 s.
QUICK = SendLimits(second=0.05)


async def take(
    limiter: Limiter,
    spec: BotSpec,
    *,
    chat: str = "",
    priority: Priority = "reply",
    deadline: float | None = None,
    on_wait: OnWait | None = None,
) -> Slot:
    bounds = limiter.bounds.of(spec, API, chat=chat, priority=priority)
    return await limiter.slot(bounds, priority=priority, deadline=deadline, on_wait=on_wait)


async def pause(limiter: Limiter, spec: BotSpec, seconds: float, *, chat: str = "") -> float:
    bound = limiter.bounds.of(spec, API, chat=chat)[0]
    return await limiter.pause(bound, seconds, first=1.0, longest=30.0, at=time.time())


async def grants(link: RedisLink, key: str) -> list[int]:
    members: Any = await link.commands.zrange(key, 0, -1)
    return [int(member) for member in members]


async def paused_until(link: RedisLink, limit: str, keys: Keys) -> float:
    """Until when a limit is paused, in seconds since the epoch as Redis has it."""
    known: Any = await link.commands.get(keys.limit_pause(limit))
    return int(known.split()[0]) / 1e6


def densest(times: list[int], span: int) -> int:
    return max(sum(start <= time < start + span for time in times) for start in times)
