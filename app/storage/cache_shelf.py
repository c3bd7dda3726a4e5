"""The cache's tier in Redis: sealed values that all processes share, and a lock a value for who loads it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal

from redis.asyncio import Redis

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import SealBroken, StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Script
from app.core.outage import guard
from app.core.redis import COMMAND_TIMEOUT, RedisLink
from app.core.wire import Arg, exchange
from app.storage.keyring import Keyring

_STEP = Script(Path(__file__).parent / "cache.lua")

# How long a load keeps its value's lock after its last sign of life.
_LOCK_MS: Final = 3000
_RENEW_EVERY: Final = 1.0
# Seconds for which Redis is left alone after a failure, so that not every read waits out a time-out.
_REST: Final = 1.0
# Changes remembered while Redis is away; values beyond these may be stale there until their time to live ends.
_MOST_DEBTS: Final = 10_000

log = get_logger(__name__)


class Look(Enum):
    """What there is instead of a value."""

    MINE = "mine"
    WAIT = "wait"
    AWAY = "away"


MINE: Final = Look.MINE
WAIT: Final = Look.WAIT
AWAY: Final = Look.AWAY

Found = tuple[bytes, float]
"""A value as JSON, and the seconds that it is still good for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is kept."""

    name: str
    lock: str
    identity: bytes


class SharedShelf:
    """Reads and writes the shared tier; without Redis it says so, and never raises for it."""

    def __init__(self, link: RedisLink, keys: Keys, keyring: Keyring, *, clock: Clock = SYSTEM_CLOCK) -> None:
        # What is awaited here is bounded in time here: the client without a time-out of its own is the cheaper one.
        self._redis = link.commands if link.cluster else link.blocking
        self._channel = keys.cache_changes
        self._keyring = keyring
        self._clock = clock
        self._me = secrets.token_bytes(8)
        self._rest_until = 0.0
        self._debts: dict[str, Place] = {}
        self._paying: asyncio.Task[None] | None = None

    async def get(self, bot: str, place: Place) -> Found | Literal[Look.AWAY] | None:
        """The value, None where there is none."""
        if self._resting():
            return AWAY
        try:
            with guard():
                async with asyncio.timeout(COMMAND_TIMEOUT):
                    sealed = await self._read(place.name)
            return None if sealed is None else await self._opened(bot, place, sealed)
        except StoreUnavailable:
            return self._away()

    async def _read(self, name: str) -> Any:
        if not isinstance(self._redis, Redis):
            return await self._redis.get(name)
        # Through redis-py's client the same costs a quarter more.
        [said] = await exchange(self._redis, ("GET", name))
        if isinstance(said, Exception):
            raise said
        return said

    async def look(self, bot: str, place: Place) -> Found | Look:
        """The value; else MINE: the caller has the lock and loads it, WAIT: another process does."""
        if self._resting():
            return AWAY
        try:
            reply = await self._step(place, "look")
            if isinstance(reply, list):
                found = await self._opened(bot, place, reply[0])
                if found is not None:
                    return found
                # It will open for nobody: what is loaded now takes its place.
                with guard():
                    await self._redis.delete(place.name)
                return WAIT
            return MINE if reply == b"mine" else WAIT
        except StoreUnavailable:
            return self._away()

    async def keep(self, bot: str, place: Place, packed: bytes, ttl: float) -> bool:
        """Keep what was loaded, unless the value was changed meanwhile; whether it may be remembered."""
        try:
            sealed = await self._sealed(bot, place, packed, ttl)
            return bool(await self._step(place, "keep", sealed, _ms(ttl)))
        except StoreUnavailable:
            self._away()
            return True

    async def leave(self, place: Place, locked: bool) -> None:
        """Give the lock back without a value."""
        if locked and not self._resting():
            try:
                await self._step(place, "leave")
            except StoreUnavailable:
                self._away()

    async def set(self, bot: str, place: Place, packed: bytes, ttl: float) -> None:
        """Keep a value and have every other process forget what it has."""
        try:
            sealed = await self._sealed(bot, place, packed, ttl)
            await self._change(place, "set", sealed, _ms(ttl))
        except StoreUnavailable:
            self._owe(place)

    async def delete(self, place: Place) -> None:
        """Forget a value everywhere."""
        try:
            await self._change(place, "delete", b"", 0)
        except StoreUnavailable:
            self._owe(place)

    @asynccontextmanager
    async def holding(self, place: Place, locked: bool) -> AsyncIterator[None]:
        """Renew the lock, if it was got, as long as the load takes."""
        if not locked:
            yield
            return
        renewing = asyncio.create_task(self._renew(place))
        try:
            yield
        finally:
            renewing.cancel()

    def named_by_another(self, message: bytes) -> str | None:
        """The name of the value that another process changed; None if it was this one."""
        return None if message.startswith(self._me) else message[len(self._me) :].decode()

    def settle_debts(self) -> None:
        """Redis is back: delete there what could not be changed while it was away."""
        self._rest_until = 0.0
        if self._debts and (self._paying is None or self._paying.done()):
            self._paying = asyncio.create_task(self._pay())

    async def _pay(self) -> None:
        while self._debts:
            name, place = next(iter(self._debts.items()))
            try:
                await self._change(place, "delete", b"", 0)
            except StoreUnavailable:
                return  # the channel breaks too, and comes back
            self._debts.pop(name, None)

    async def _change(self, place: Place, what: str, sealed: bytes, ttl_ms: int) -> None:
        if self._resting():
            raise StoreUnavailable("Redis was away a moment ago and is not asked again yet")
        await self._step(place, what, sealed, ttl_ms, self._channel, self._me + place.name.encode())

    async def _step(self, place: Place, what: str, *more: Arg) -> Any:
        return await _STEP(self._redis, [place.name, place.lock], [what, self._me, _LOCK_MS, *more])

    async def _renew(self, place: Place) -> None:
        while True:
            await self._clock.sleep(_RENEW_EVERY)
            try:
                await self._step(place, "renew")
            except StoreUnavailable:
                pass  # it may run out: then two load, which is no harm

    async def _sealed(self, bot: str, place: Place, packed: bytes, ttl: float) -> bytes:
        cipher = self._keyring.cached(bot) or await self._keyring.cipher(bot)
        until = int((self._clock.now() + ttl) * 1000)
        return cipher.seal(until.to_bytes(8, "big") + packed, place.identity)

    async def _opened(self, bot: str, place: Place, sealed: bytes) -> Found | None:
        cipher = self._keyring.cached(bot) or await self._keyring.cipher(bot)
        try:
            try:
                plain = cipher.open(sealed, place.identity)
            except SealBroken:
                # Another node may have sealed under a newer key.
                plain = (await self._keyring.refresh(bot)).open(sealed, place.identity)
        except SealBroken as error:
            log.warning("a cached value does not open and is loaded anew", bot=bot, reason=str(error))
            return None
        # Clocks of nodes differ by a little, and a value that Redis still has is good for a moment.
        left = int.from_bytes(plain[:8], "big") / 1000 - self._clock.now()
        return plain[8:], max(0.0, left)

    def _resting(self) -> bool:
        return self._clock.monotonic() < self._rest_until

    def _away(self) -> Literal[Look.AWAY]:
        self._rest_until = self._clock.monotonic() + _REST
        return AWAY

    def _owe(self, place: Place) -> None:
        if not self._resting():
            self._away()
        if len(self._debts) < _MOST_DEBTS:
            self._debts[place.name] = place


def _ms(ttl: float) -> int:
    return max(1, int(ttl * 1000))
