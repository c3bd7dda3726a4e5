"""A write to the queue that has to be made, however long Redis is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.core.clock import Clock
from app.core.errors import StoreUnavailable

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0

T = TypeVar("T")


async def kept(write: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Repeat a write until Redis has taken it; taking it twice must do no harm."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return await write()
        except StoreUnavailable:
            await clock.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
