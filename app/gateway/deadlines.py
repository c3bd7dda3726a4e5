"""Ends what takes too long, at the cost of a dictionary entry instead of a timer for every request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from app.core.clock import Clock

T = TypeVar("T")

# How late an end may come. A timer a request costs a microsecond or, as asyncio.timeout, seven.
_GRAIN: Final = 0.05


class Deadlines(Generic[T]):
    """Calls `expire(key)` for every key that is still here when it is due."""

    def __init__(self, clock: Clock, expire: Callable[[T], None]) -> None:
        self._clock = clock
        self._expire = expire
        self._due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, key: T, due: float) -> None:
        """Watch `key` until `due` (monotonic seconds)."""
        self._due[key] = due
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GRAIN, self._sweep)

    def remove(self, key: T) -> bool:
        """Stop watching; False when it has expired already."""
        return self._due.pop(key, None) is not None

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        for key in [key for key, due in self._due.items() if due <= now]:
            del self._due[key]
            self._expire(key)
        if self._due:
            self._timer = asyncio.get_running_loop().call_later(_GRAIN, self._sweep)
