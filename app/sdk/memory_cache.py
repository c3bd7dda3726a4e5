"""The cache in memory, for BotTest: one tier, no other node."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from app.core.clock import Clock
from app.core.values import parse_span
from app.sdk.cache import NEGATIVE_TTL, TTL

T = TypeVar("T")


class MemoryCache:
    """Implements `app.sdk.cache.Cache` for one bot under test."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}

    async def get(self, key: str, default: Any = None) -> Any:
        kept = self._fresh(key)
        value = None if kept is None else json.loads(kept)
        return default if value is None else value

    async def set(self, key: str, value: Any, *, ttl: float | str = TTL) -> None:
        span = parse_span(ttl)
        if not span:
            raise ValueError("a value cannot be kept for no time at all: leave ttl out, or use delete")
        self._kept[key] = (self._clock.monotonic() + span, json.dumps(value))

    async def delete(self, key: str) -> None:
        self._kept.pop(key, None)

    async def get_or_load(self, key: str, loader: Callable[[], Awaitable[T]], *, ttl: float | str = TTL) -> T:
        kept = self._fresh(key)
        if kept is None:
            value = await loader()
            await self.set(key, value, ttl=ttl if value is not None else min(parse_span(ttl), NEGATIVE_TTL))
            kept = self._kept[key][1]
        found: T = json.loads(kept)
        return found

    def _fresh(self, key: str) -> str | None:
        until, kept = self._kept.get(key, (0.0, ""))
        return kept if until > self._clock.monotonic() else None
