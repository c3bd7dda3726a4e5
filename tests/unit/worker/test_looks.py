"""Looks at a dial blame who blocks a worker, and nobody for a sleep of the machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from app.worker import dial as dial_module
from app.worker import looks as looks_module
from app.worker.dial import NANO, Dial, Dials
from app.worker.looks import HAND_OVER, LOOK_EVERY, Blocked, Looks
from tests.waiting import PATIENCE


class Watch:
    """One worker's dial, the looks at it, and a time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000 * NANO
        self.dials = Dials(slots=2)
        self.dial = Dial(self.dials, 1)
        self.looks = Looks(self.dials, 1)
        self._leave = threading.Event()
        self._threads: list[threading.Thread] = []

    def monotonic_ns(self) -> int:
        return self.now

    def look(self, times: int = 1, interval: float = LOOK_EVERY) -> Blocked | None:
        for _ in range(times):
            self.now += int(interval * NANO)
            seen = self.looks.look(interval)
        return seen

    def in_thread(self, bot: str) -> None:
        inside = threading.Event()

        def run() -> None:
            inside.set()
            self._leave.wait(PATIENCE)

        thread = threading.Thread(target=lambda: self.dial.in_thread(bot, run))
        thread.start()
        self._threads.append(thread)
        assert inside.wait(PATIENCE)

    def close(self) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    watch = Watch()
    for module in (dial_module, looks_module):
        monkeypatch.setattr(module, "time", watch)
    yield watch
    watch.close()


async def test_a_step_on_the_loop_is_seen_from_the_second_look(watch: Watch) -> None:
    watch.dial.enter("slow")
    assert watch.look() is None
    seen = watch.look(5)
    assert seen is not None
    assert (seen.culprit, seen.since) == ("slow", 1000 * NANO)
    assert seen.seconds == pytest.approx(6 * LOOK_EVERY)
    watch.dial.leave()
    assert watch.look() is None


async def test_the_only_bot_in_threads_is_to_blame_when_the_loop_no_longer_turns(watch: Watch) -> None:
    watch.dial.tick()
    tick = watch.now
    watch.in_thread("regex")
    assert watch.look(7) is None
    seen = watch.look(3)
    assert seen is not None
    assert (seen.culprit, seen.since) == ("regex", tick)
    assert seen.seconds > HAND_OVER
    watch.dial.rest()
    watch.dial.tick()
    assert watch.look(4) is None
    watch.dial.rest()


async def test_of_several_in_threads_nobody_is_to_blame(watch: Watch) -> None:
    watch.dial.tick()
    for bot in ("one", "two", "one"):
        watch.in_thread(bot)
    seen = watch.look(10)
    assert seen is not None
    assert (seen.bots, seen.culprit) == (("one", "two"), "")
    watch.dial.rest()


async def test_a_loop_that_stands_still_is_seen_though_nobody_knows_of_whom(watch: Watch) -> None:
    watch.dial.tick()
    tick = watch.now
    assert watch.look(40) is None  # a busy machine may be as late as that
    seen = watch.look(3)
    assert seen is not None
    assert (seen.bots, seen.culprit, seen.since) == ((), "", tick)
    watch.dial.rest()


async def test_a_worker_that_has_not_begun_or_runs_no_bot_code_is_left_alone(watch: Watch) -> None:
    watch.in_thread("imports")
    assert watch.look(10) is None
    other = Looks(watch.dials, 0)
    Dial(watch.dials, 0).tick()
    assert [other.look(LOOK_EVERY) for _ in range(10)] == [None] * 10


async def test_a_machine_that_slept_blames_nobody_when_it_wakes(watch: Watch) -> None:
    watch.dial.tick()
    watch.in_thread("patient")
    watch.look(2)
    assert watch.look(1, interval=3600) is None
    assert watch.look(1) is None  # the worker is not awake yet
    watch.dial.rest()
    watch.dial.tick()
    assert watch.look(4) is None
    watch.dial.rest()

    watch.dial.enter("step")
    watch.look(2)
    seen = watch.look(1, interval=3600)
    assert seen is not None
    assert seen.seconds < HAND_OVER
