"""The tier of the cache that all processes share: values in their own place, and a lock as long as its load."""

from __future__ import annotations

import asyncio
import signal

import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from tests.redis_servers import Server
from tests.unit.storage.test_cache import Later, Source, loaded, tiers
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


class Hasty(Later):
    """Who wants to wait waits hardly at all."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(0.001)


async def locks(link: RedisLink, keys: Keys) -> list[bytes]:
    return [name async for name in link.commands.scan_iter(f"{keys.prefix}*:load:*")]


async def test_a_value_that_was_moved_is_not_given(link: RedisLink, keys: Keys) -> None:
    here, there = tiers(link, keys).of("echo"), tiers(link, keys).of("echo")
    await here.set("a", "of a")
    [place] = [name async for name in link.commands.scan_iter(f"{keys.prefix}*:cache:*")]
    moved = await link.commands.get(place)
    assert moved is not None
    await here.set("b", "of b")
    [other] = {name async for name in link.commands.scan_iter(f"{keys.prefix}*:cache:*")} - {place}
    await link.commands.set(other, moved, ex=60)
    assert await there.get("a") == "of a"
    assert await there.get("b") is None
    assert await there.get_or_load("b", loaded(Source())) == "loaded"


async def test_a_lock_is_renewed_while_its_load_takes_and_is_gone_with_it(link: RedisLink, keys: Keys) -> None:
    here, source = tiers(link, keys, Hasty()).of("echo"), Source()
    loading = asyncio.create_task(here.get_or_load("k", source))
    await until(lambda: source.loads)
    [lock] = await locks(link, keys)
    await link.commands.pexpire(lock, 1000)

    async def renewed() -> bool:
        return await link.commands.pttl(lock) > 1000

    await until(renewed)
    source.go.set()
    assert await loading == "loaded"
    assert await locks(link, keys) == []


async def test_a_load_that_fails_leaves_no_lock(link: RedisLink, keys: Keys) -> None:
    async def broken() -> str:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await tiers(link, keys).of("echo").get_or_load("k", broken)
    assert await locks(link, keys) == []


async def test_a_redis_that_hangs_holds_no_reader() -> None:
    with Server("--save", "") as server:
        link, clock = await connect(server.url), Later()
        cache = tiers(link, Keys("t:"), clock).of("echo")
        await cache.set("k", 1, ttl="1s")
        server.signal(signal.SIGSTOP)
        try:
            # Once over a connection that stood, once over a new one.
            for _ in range(2):
                clock.ahead += 1.1  # memory forgets, and Redis has been left alone for long enough
                async with asyncio.timeout(10):
                    assert await cache.get("k", "away") == "away"
                    assert await cache.get_or_load("other", loaded(Source())) == "loaded"
        finally:
            server.signal(signal.SIGCONT)
            await link.close()
