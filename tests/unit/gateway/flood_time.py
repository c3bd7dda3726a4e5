"""The time of gateways and of the bucket that they share in Redis, which goes on only when a test says so."""

from __future__ import annotations

from typing import Any

from app.core.redis import RedisLink
from app.gateway.floods import Floods
from tests.hand_clock import HandClock


class FloodTime(HandClock):
    """Redis reads a clock of its own: what is moved there is when the bucket was last filled up."""

    def __init__(self, link: RedisLink, bucket: str) -> None:
        super().__init__()
        self._redis: Any = link.commands
        self._bucket = bucket

    async def share(self, floods: Floods, after: float) -> None:
        """Have `after` seconds pass, and then one gateway tell and hear the others."""
        seconds, micros = await self._redis.time()
        was = int(seconds) * 1000 + int(micros) // 1000 - round(after * 1000)
        if await self._redis.exists(self._bucket):
            await self._redis.hset(self._bucket, "at", was)
        await floods.share()
        at = await self._redis.hget(self._bucket, "at")
        # What a slow machine took for it is gone too, and the bucket has it.
        self.time += (int(at) - was) / 1000 if at else after
