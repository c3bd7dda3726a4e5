"""A cache of what can be loaded again: in the process's memory, else in Redis for all, else loaded, once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Any, Final, TypeVar

import orjson
from cachetools import TTLCache

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.keys import Keys
from app.core.pubsub import listen
from app.core.redis import RedisLink
from app.core.values import parse_span
from app.sdk.cache import MEMORY_TTL, NEGATIVE_TTL, TTL
from app.storage.cache_counts import CacheCounts
from app.storage.cache_shelf import AWAY, MINE, WAIT, Place, SharedShelf
from app.storage.keyring import Keyring

T = TypeVar("T")

_ENTRIES: Final = 1000
# Seconds between the looks of a process that waits for another one's load.
_LOOK_EVERY: Final = 0.05

_Kept = tuple[float | None, Callable[[], Any] | None, Any]
"""Until when it is good (monotonic seconds), where that is sooner than memory forgets it; what makes a copy, where a
reader could change the value; and the value itself, where nobody can.
"""


class CacheTiers:
    """The cache of one process; unless it is `running`, changes by others are seen only when memory forgets."""

    def __init__(self, link: RedisLink, keys: Keys, keyring: Keyring, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self.shelf = SharedShelf(link, keys, keyring, clock=clock)
        self.counts = CacheCounts(link, keys, clock=clock)
        self.memory: TTLCache[str, _Kept] = TTLCache(_ENTRIES, MEMORY_TTL, timer=clock.monotonic)
        self.flights: dict[str, asyncio.Future[bytes | None]] = {}
        self.changes = 0
        """How many changes were heard of: what was read before one of them must not be remembered after it."""
        self._link = link
        self._keys = keys
        self._bots: dict[str, BotCache] = {}

    def of(self, bot: str) -> BotCache:
        """The cache of one bot; implements `app.sdk.cache.Cache`."""
        cache = self._bots.get(bot)
        if cache is None:
            # A hash costs more than all else that a hit in memory needs.
            place = lru_cache(_ENTRIES)(lambda key: _place(self._keys, bot, key))
            cache = self._bots[bot] = BotCache(self, bot, place)
        return cache

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear what other processes change, and pass the counts on; outlives every outage."""
        hearing = listen(self._link, self._keys.cache_changes, self._heard, clock=self.clock)
        tasks = [asyncio.create_task(work) for work in (hearing, self.counts.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def forget_bot(self, bot: str, _keys: frozenset[bytes] = frozenset()) -> None:
        """Drop all of a bot from memory: its data key was shredded."""
        root = self._keys.cached(bot, "")
        for name in [name for name in self.memory if name.startswith(root)]:
            self.forget(name)

    def forget(self, name: str) -> None:
        """Drop a value from memory, and what is being read of it now."""
        self.changes += 1
        self.memory.pop(name, None)

    def _heard(self, message: bytes | None) -> None:
        if message is None:
            # The channel was away: whatever was said meanwhile, nothing of before may be used.
            self.changes += 1
            self.memory.clear()
            self.shelf.settle_debts()
        elif (name := self.shelf.named_by_another(message)) is not None:
            self.forget(name)


class BotCache:
    """The cache as one bot sees it; methods raise a loader's own errors, and never those of Redis."""

    def __init__(self, tiers: CacheTiers, bot: str, place: Callable[[str], Place]) -> None:
        self._tiers = tiers
        self._bot = bot
        self._place = place
        self._memory = tiers.memory
        self._now = tiers.clock.monotonic
        self._counts = tiers.counts

    async def get(self, key: str, default: Any = None) -> Any:
        place = self._place(key)
        try:
            until, another, value = self._memory[place.name]
        except KeyError:
            pass
        else:
            if until is None or until > self._now():
                self._counts.memory_hits += 1
                value = value if another is None else another()
                return default if value is None else value
        self._counts.add("memory", "miss")
        changes = self._tiers.changes
        found = await self._tiers.shelf.get(self._bot, place)
        self._counts.add("redis", "away" if found is AWAY else "miss" if found is None else "hit")
        if found is None or found is AWAY:
            return default
        packed, left = found
        value = self._remember(place, packed, left, changes)
        return default if value is None else value

    async def set(self, key: str, value: Any, *, ttl: float | str = TTL) -> None:
        place, packed, span = self._place(key), orjson.dumps(value), _span(ttl)
        self._tiers.forget(place.name)
        changes = self._tiers.changes
        await self._tiers.shelf.set(self._bot, place, packed, span)
        self._remember(place, packed, span, changes)

    async def delete(self, key: str) -> None:
        place = self._place(key)
        self._tiers.forget(place.name)
        await self._tiers.shelf.delete(place)

    async def get_or_load(self, key: str, loader: Callable[[], Awaitable[T]], *, ttl: float | str = TTL) -> T:
        place = self._place(key)
        while True:
            value: T
            try:
                until, another, value = self._memory[place.name]
            except KeyError:
                pass
            else:
                if until is None or until > self._now():
                    self._counts.memory_hits += 1
                    return value if another is None else another()
            flight = self._tiers.flights.get(place.name)
            if flight is None:
                break
            packed = await asyncio.shield(flight)
            if packed is not None:  # else the one who loaded it was stopped: the first who waits takes over
                value = orjson.loads(packed)
                return value
        self._counts.add("memory", "miss")
        return await self._fly(place, loader, _span(ttl))

    async def _fly(self, place: Place, loader: Callable[[], Awaitable[T]], span: float) -> T:
        """Get the value for everyone in this process who asks for it meanwhile."""
        flights = self._tiers.flights
        flight = flights[place.name] = asyncio.get_running_loop().create_future()
        packed: bytes | None = None
        try:
            packed = await self._obtain(place, loader, span)
            value: T = orjson.loads(packed)
            return value
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # there may be nobody who waits
            raise
        finally:
            del flights[place.name]
            if not flight.done():
                flight.set_result(packed)

    async def _obtain(self, place: Place, loader: Callable[[], Awaitable[Any]], span: float) -> bytes:
        shelf, counts = self._tiers.shelf, self._counts
        while True:
            changes = self._tiers.changes
            found = await shelf.look(self._bot, place)
            if isinstance(found, tuple):
                counts.add("redis", "hit")
                self._remember(place, *found, changes)
                return found[0]
            if found is not WAIT:
                counts.add("redis", "away" if found is AWAY else "miss")
                return await self._load(place, loader, span, locked=found is MINE)
            # Another process loads it. Its lock runs out if it dies.
            await self._tiers.clock.sleep(_LOOK_EVERY)

    async def _load(self, place: Place, loader: Callable[[], Awaitable[Any]], span: float, *, locked: bool) -> bytes:
        shelf = self._tiers.shelf
        changes = self._tiers.changes
        try:
            async with shelf.holding(place, locked):
                packed = orjson.dumps(await loader())
        except Exception:
            self._counts.add("loader", "failed")
            await shelf.leave(place, locked)
            raise
        self._counts.add("loader", "hit")
        if packed == b"null":
            span = min(span, NEGATIVE_TTL)
        if not locked:
            self._remember(place, packed, span, changes)
            return packed
        changes = self._tiers.changes
        if await shelf.keep(self._bot, place, packed, span):
            self._remember(place, packed, span, changes)
        return packed

    def _remember(self, place: Place, packed: bytes, left: float, changes: int) -> Any:
        """Put a value into memory, unless something was changed since it was read; the value."""
        value = orjson.loads(packed)
        if self._tiers.changes == changes:
            until = None if left >= MEMORY_TTL else self._now() + left
            self._memory[place.name] = (until, *_another(value, packed))
        return value


def _another(value: Any, packed: bytes) -> tuple[Callable[[], Any] | None, Any]:
    if not isinstance(value, list | dict):
        return None, value
    inner = value if isinstance(value, list) else value.values()
    if any(isinstance(one, list | dict) for one in inner):
        return partial(orjson.loads, packed), None
    # Most are flat, and a copy takes a quarter of the time of parsing them again; the caller has the first.
    return value.copy().copy, None


def _place(keys: Keys, bot: str, key: str) -> Place:
    digest = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return Place(keys.cached(bot, digest), keys.load(bot, digest), b"cache\n" + digest.encode())


def _span(ttl: float | str) -> float:
    span = parse_span(ttl)
    if not span:
        raise ValueError("a value cannot be kept for no time at all: leave ttl out, or use delete")
    return span
