"""The cache: which tier answers, one load at a time, and what others change is seen."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from app.core.clock import SystemClock
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.storage.cache import BotCache, CacheTiers
from app.storage.cache_counts import cache_stats
from app.storage.keyring import Keyring
from tests.redis_servers import Server
from tests.unit.channel.parts import OneKey
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


class Later(SystemClock):
    """The system's time, that a test can put forward."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class Source:
    """What is loaded, and how often."""

    value: Any = "loaded"
    loads: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> Any:
        self.loads += 1
        value = self.value
        await self.go.wait()
        return value


def tiers(link: RedisLink, keys: Keys, clock: Later | None = None) -> CacheTiers:
    return CacheTiers(link, keys, cast(Keyring, OneKey()), clock=clock or Later())


@dataclass
class Pair:
    """Two processes that run."""

    first: CacheTiers
    second: CacheTiers

    @property
    def here(self) -> BotCache:
        return self.first.of("echo")

    @property
    def there(self) -> BotCache:
        return self.second.of("echo")


@pytest.fixture
async def pair(link: RedisLink, keys: Keys) -> AsyncIterator[Pair]:
    pair = Pair(tiers(link, keys), tiers(link, keys))
    async with AsyncExitStack() as closing:
        for one in (pair.first, pair.second):
            await closing.enter_async_context(one.running())
        await until(lambda: pair.first.changes and pair.second.changes)  # both listen
        yield pair


def loaded(source: Source) -> Source:
    source.go.set()
    return source


async def test_memory_then_redis_then_the_loader(pair: Pair, link: RedisLink, keys: Keys) -> None:
    source = loaded(Source({"name": "王"}))
    assert await pair.here.get("k") is None
    assert await pair.here.get_or_load("k", source) == {"name": "王"}
    assert await pair.here.get("k") == {"name": "王"}
    assert await pair.there.get_or_load("k", source) == {"name": "王"}
    assert source.loads == 1
    for one in (pair.first, pair.second):
        await one.counts.tell()
    stats = await cache_stats(link, keys)
    assert stats == {"memory": {"hit": 1, "miss": 3}, "redis": {"hit": 1, "miss": 2}, "loader": {"hit": 1}}


async def test_nothing_lies_in_clear(pair: Pair, link: RedisLink, keys: Keys) -> None:
    await pair.here.set("the key of 王", "the value of 王")
    names = [name async for name in link.commands.scan_iter(f"{keys.prefix}*")]
    values = [await link.commands.get(name) for name in names if b":cache:" in name]
    assert len(values) == 1
    key = "the key of 王".encode()
    assert not any("王".encode() in part or b"value" in part for part in (*names, *values))
    assert not any(key.hex().encode() in name or b64encode(key) in name for name in names)


async def test_every_reader_gets_an_object_of_its_own(pair: Pair) -> None:
    await pair.here.set("k", {"list": [1]})
    for cache in (pair.here, pair.there):
        (await cache.get("k"))["list"].append(2)
        assert await cache.get("k") == {"list": [1]}


async def test_tasks_of_a_process_share_a_load(pair: Pair) -> None:
    source = Source()
    asking = [asyncio.create_task(pair.here.get_or_load("k", source)) for _ in range(20)]
    await until(lambda: source.loads)
    source.go.set()
    assert await asyncio.gather(*asking) == ["loaded"] * 20
    assert source.loads == 1


async def test_processes_share_a_load(pair: Pair) -> None:
    source, other = Source(), loaded(Source("other"))
    first = asyncio.create_task(pair.here.get_or_load("k", source))
    await until(lambda: source.loads)
    second = asyncio.create_task(pair.there.get_or_load("k", other))
    await until(lambda: pair.second.flights)
    source.go.set()
    assert (await first, await second) == ("loaded", "loaded")
    assert other.loads == 0


async def test_a_load_that_is_stopped_goes_on_at_once_with_the_next_who_waits(link: RedisLink, keys: Keys) -> None:
    class Patient(Later):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()  # who waits for the lock of the first waits for ever

    here = tiers(link, keys, Patient()).of("echo")
    stuck, source = Source(), loaded(Source())
    first = asyncio.create_task(here.get_or_load("k", stuck))
    await until(lambda: stuck.loads)
    second = asyncio.create_task(here.get_or_load("k", source))
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.wait_for(second, PATIENCE) == "loaded"


async def test_a_loader_that_fails_fails_for_all_who_wait_and_is_asked_again(pair: Pair) -> None:
    go = asyncio.Event()

    async def broken() -> str:
        await go.wait()
        raise LookupError("no")

    asking = [asyncio.create_task(pair.here.get_or_load("k", broken)) for _ in range(3)]
    await until(lambda: pair.first.flights)
    go.set()
    assert [type(one) for one in await asyncio.gather(*asking, return_exceptions=True)] == [LookupError] * 3
    assert await pair.there.get_or_load("k", loaded(Source())) == "loaded"


@pytest.mark.parametrize("change", ["set", "delete"])
async def test_a_change_is_seen_on_another_node(pair: Pair, change: str) -> None:
    await pair.here.set("k", 1)
    assert await pair.there.get("k") == 1
    if change == "set":
        await pair.here.set("k", 2)
        await until(lambda: pair.second.memory.currsize == 0)
        assert await pair.there.get("k") == 2
    else:
        await pair.here.delete("k")
        await until(lambda: pair.second.memory.currsize == 0)
        assert await pair.there.get("k", "gone") == "gone"
    # Who changed it does not forget what it has just said.
    assert pair.first.memory.currsize == (change == "set")


async def test_what_was_loaded_before_a_change_is_not_kept_after_it(pair: Pair) -> None:
    source = Source("old")
    loading = asyncio.create_task(pair.here.get_or_load("k", source))
    await until(lambda: source.loads)
    await pair.there.set("k", "new")
    source.go.set()
    assert await loading == "old"
    assert await pair.here.get("k") == "new"


async def test_nothing_is_remembered_shortly(link: RedisLink, keys: Keys) -> None:
    clock, source = Later(), loaded(Source(None))
    cache = tiers(link, keys, clock).of("echo")
    for _ in range(2):
        assert await cache.get_or_load("k", source) is None
    assert await cache.get("k", "default") == "default"
    assert source.loads == 1
    clock.ahead += 5.1
    await link.commands.delete(*[name async for name in link.commands.scan_iter(f"{keys.prefix}*cache:*")])
    assert await cache.get_or_load("k", source) is None
    assert source.loads == 2


async def test_memory_is_no_older_than_its_time_and_never_older_than_the_value(link: RedisLink, keys: Keys) -> None:
    clock = Later()
    here, there = tiers(link, keys, clock), tiers(link, keys, clock)  # neither hears of the other
    await here.of("echo").set("k", 1)
    assert await there.of("echo").get("k") == 1
    await here.of("echo").set("k", 2)
    assert await there.of("echo").get("k") == 1
    clock.ahead += 15.1
    assert await there.of("echo").get("k") == 2

    await here.of("echo").set("short", 1, ttl="20s")
    clock.ahead += 18
    assert await there.of("echo").get("short") == 1
    await link.commands.delete(*[name async for name in link.commands.scan_iter(f"{keys.prefix}*cache:*")])
    assert await there.of("echo").get("short") == 1
    clock.ahead += 2.1
    assert await there.of("echo").get("short") is None


@pytest.mark.parametrize("ttl", [0, "0s", -1, "soon"])
async def test_a_span_that_is_none_is_refused(pair: Pair, ttl: Any) -> None:
    with pytest.raises(ValueError, match=r"span|no time"):
        await pair.here.set("k", 1, ttl=ttl)


async def test_without_redis_memory_and_loader_go_on() -> None:
    server = Server("--save", "")
    link = await connect(server.url)
    cache = tiers(link, Keys("t:")).of("echo")
    try:
        await cache.set("k", 1)
        server.close()
        source = loaded(Source())
        assert await cache.get("k") == 1
        assert [await cache.get_or_load("other", source) for _ in range(3)] == ["loaded"] * 3
        assert source.loads == 1
        await cache.set("third", 3)
        assert await cache.get("third") == 3
        await cache.delete("k")
        assert await cache.get("k") is None
    finally:
        await link.close()
        server.close()


async def test_what_was_changed_without_redis_is_changed_there_when_it_is_back(
    pair: Pair, link: RedisLink, keys: Keys
) -> None:
    await pair.here.set("k", 1)
    assert await pair.there.get("k") == 1
    # What a moment without Redis leaves behind.
    pair.first.shelf._rest_until = pair.first.clock.monotonic() + 60
    await pair.here.set("k", 2)
    pair.first._heard(None)

    async def gone() -> bool:
        return await pair.there.get("k") is None

    await until(gone)


async def test_nothing_of_a_shredded_bot_stays_in_memory(pair: Pair, link: RedisLink, keys: Keys) -> None:
    await pair.here.set("k", 1)
    await pair.first.of("other").set("k", 2)
    await link.commands.delete(*[name async for name in link.commands.scan_iter(f"{keys.prefix}*cache:*")])
    await pair.first.forget_bot("echo")
    assert await pair.here.get("k") is None
    assert await pair.first.of("other").get("k") == 2
