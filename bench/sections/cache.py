"""What a read of the cache takes, from memory and from Redis, beside a bare redis-py get of the same value."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from app.core.engine import EmbeddedEngine
from app.core.keys import Keys
from app.core.redis import connect
from app.storage.cache import CacheTiers
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from bench.plan import Plan
from bench.report import Row, row

_PROFILE: Final = {"open_id": "ou_7d8a6e6df7621556ce0d21922b676706ccs", "name": "王小明", "en_name": "Xiaoming"}
_READS: Final = 200_000
_TURN: Final = 100


def measure(plan: Plan) -> list[Row]:
    """All three in turn, in one process, with one read under way at a time."""
    return asyncio.run(_measure(plan))


async def _measure(plan: Plan) -> list[Row]:
    engine = EmbeddedEngine(plan.scratch / "cache", "everysec")
    url = await engine.start()
    link, bare = await connect(url), Redis.from_url(url)
    keys = Keys()
    keyring = Keyring(MasterKey([new_key()], "the bench"), link, keys, Path(plan.scratch) / "cache-keys")
    try:
        tiers = CacheTiers(link, keys, keyring)
        cache = tiers.of("bot")
        for number in range(1000):  # as full as memory gets
            await cache.set(f"user {number}", _PROFILE)
        await cache.set("word", "a text")
        await bare.set("bare", orjson.dumps(_PROFILE))

        async def from_redis() -> Any:
            tiers.memory.clear()
            return await cache.get("user 7")

        turns = int(plan.pick(20, 60))
        memory, words, shared, gets, ratios = [], [], [], [], []
        for _ in range(plan.rounds):
            await cache.get("user 7")
            memory.append(await _cpu(lambda: cache.get("user 7"), _READS))
            words.append(await _cpu(lambda: cache.get("word"), _READS))
            mine, theirs = [], []
            for _ in range(turns):  # in short turns: what else runs on the machine then slows both
                theirs.append(await _each(lambda: bare.get("bare"), _TURN))
                mine.append(await _each(from_redis, _TURN))
            gets.append(median(theirs))
            shared.append(median(mine))
            # Of two turns that follow each other: the kernel moves client and engine between the cores meanwhile.
            ratios.append(median(one / other for one, other in zip(mine, theirs, strict=True)))
        return [
            row("cache", "hit in memory, an object", "µs", memory, at_most=1, note="a copy for each reader"),
            row("cache", "hit in memory, a text", "µs", words, at_most=1),
            row("cache", "redis-py get", "µs", gets),
            row("cache", "hit in Redis, opened and remembered", "µs", shared),
            row("cache", "hit in Redis / redis-py get", "", ratios, at_most=1.2),
        ]
    finally:
        await keyring.close()
        await bare.aclose()
        await link.close()
        await engine.stop()


async def _cpu(read: Callable[[], Awaitable[Any]], count: int) -> float:
    """Microseconds of CPU time of one read that waits for nothing."""
    began = time.process_time()
    for _ in range(count):
        await read()
    return (time.process_time() - began) / count * 1e6


async def _each(read: Callable[[], Awaitable[Any]], count: int) -> float:
    """Microseconds of one read."""
    began = time.perf_counter()
    for _ in range(count):
        await read()
    return (time.perf_counter() - began) / count * 1e6
