"""Reading for work through outages and faults."""

from __future__ import annotations

from typing import Any

from app.core.clock import SystemClock
from app.core.errors import StoreUnavailable
from app.worker.consumer import Consumer
from app.worker.lane import Lane


async def test_who_finds_no_work_rests_longer_and_longer_and_never_ends() -> None:
    away = StoreUnavailable("away")
    found: list[Exception | None] = [*[away] * 7, None, away, RuntimeError("a bug"), None]
    rests: list[float] = []
    unused: Any = None

    class Clock(SystemClock):
        async def sleep(self, seconds: float) -> None:
            rests.append(seconds)

    class Reads:
        async def next(self, *_: Any) -> tuple[list[Any], list[str]]:
            if len(found) == 1:
                consumer.stop()
            if (error := found.pop(0)) is not None:
                raise error
            return [], []

    reads: Any = Reads()
    lane = Lane(1, 0, "shared", "n1")
    consumer = Consumer(lane, unused, reads, unused, unused, unused, stalls=lambda: 0, clock=Clock())
    await consumer.run()
    assert rests == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 0.1, 2.0]
