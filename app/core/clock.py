"""The one seam through which the hub learns the time and waits."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time; tests and the playground bring clocks of their own."""

    def now(self) -> float:
        """Seconds since the epoch, as the wall clock has it."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for measuring spans."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a negative span counts as none."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


SYSTEM_CLOCK: Clock = SystemClock()
