"""A clock that only a test moves."""

from __future__ import annotations


class HandClock:
    """Moved by hand; who sleeps moves it too."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
