"""Counts the reads of each cache tier: cheaply at first, then for the metrics and for all nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.metrics import CACHE_READS
from app.core.outage import guard
from app.core.redis import RedisLink

# Seconds without a read after which the totals of all nodes start over.
_KEPT: Final = 7 * 86400
_TELL_EVERY: Final = 2.0


class CacheCounts:
    """One process' numbers; a metric costs more than a hit in memory, so they are passed on together."""

    def __init__(self, link: RedisLink, keys: Keys, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._redis = link.commands
        self._key = keys.cache_stats
        self._clock = clock
        self.memory_hits = 0
        self._others: Counter[tuple[str, str]] = Counter()
        self._owed: Counter[str] = Counter()

    def add(self, tier: str, outcome: str) -> None:
        """Count a read of `memory`, `redis` or `loader`."""
        self._others[tier, outcome] += 1

    async def run(self) -> None:
        """Pass the numbers on every two seconds, until cancelled; then once more."""
        try:
            while True:
                await self._clock.sleep(_TELL_EVERY)
                await self.tell()
        finally:
            self._to_metrics()

    async def tell(self) -> None:
        """Pass the numbers on now; what Redis does not take goes with the next."""
        self._to_metrics()
        if not self._owed:
            return
        owed, self._owed = self._owed, Counter()
        try:
            with guard():
                pipe = self._redis.pipeline(transaction=False)
                for name, count in owed.items():
                    pipe.hincrby(self._key, name, count)
                pipe.expire(self._key, _KEPT)
                async with asyncio.timeout(1.0):
                    await pipe.execute()
        except StoreUnavailable:
            self._owed.update(owed)

    def _to_metrics(self) -> None:
        counted, self._others = self._others, Counter()
        counted["memory", "hit"] += self.memory_hits
        self.memory_hits = 0
        for (tier, outcome), count in counted.items():
            if count:
                CACHE_READS.labels(tier, outcome).inc(count)
                self._owed[f"{tier}:{outcome}"] += count


async def cache_stats(link: RedisLink, keys: Keys) -> dict[str, dict[str, int]]:
    """What all nodes counted together, by tier and outcome; StoreUnavailable without Redis."""
    with guard():
        fields: Any = await link.commands.hgetall(keys.cache_stats)
    stats: dict[str, dict[str, int]] = {tier: {} for tier in ("memory", "redis", "loader")}
    for name, count in fields.items():
        tier, _, outcome = name.decode().partition(":")
        stats.setdefault(tier, {})[outcome] = int(count)
    return stats
