"""Looks at the workers forty times a second; a bot that holds a loop is named, handed over, kept apart, killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.core.clock import Clock
from app.core.logs import get_logger
from app.model.catalog import Catalog
from app.worker.apart import Apart
from app.worker.looks import FORESEE, HAND_OVER, LOOK_EVERY, Blocked
from app.worker.outcome import place_of
from app.worker.processes import Processes, WorkerProcess
from app.worker.successors import Successors

OFFENCE: Final = 0.5
"""Seconds of a held loop after which the bot is kept apart."""
KILL_GRACE: Final = 5.0
"""Seconds beyond its `timeout` that a bot may hold a loop before the process is killed."""

# Added to the wait for a look, so that what it is for is due by then.
_JUST_AFTER: Final = 0.001
_REST: Final = 1.0
_DEFAULT_TIMEOUT: Final = 60.0

log = get_logger(__name__)


class LoopWatch:
    """Judges what the dials show, by reading memory; no queue is polled."""

    def __init__(
        self,
        processes: Processes,
        apart: Apart,
        successors: Successors,
        catalog: Catalog,
        clock: Clock,
        give_free: Callable[[str, list[str], bool], object],
    ) -> None:
        """`give_free(owner, bots, alive)` frees the claims of a worker that blocks; see `app.worker.abandon`."""
        self._processes = processes
        self._apart = apart
        self._successors = successors
        self._catalog = catalog
        self._clock = clock
        self._give_free = give_free

    async def run(self) -> None:
        """Look until cancelled."""
        looks = 0
        rest = LOOK_EVERY
        last = self._clock.monotonic()
        while True:
            await self._clock.sleep(rest)
            looks += 1
            last, before = self._clock.monotonic(), last
            try:
                rest = min((self._look(process, last - before) for process in self._processes), default=LOOK_EVERY)
                if looks % 40 == 0:
                    self._apart.release_due()
                    self._successors.release_due()
            except Exception as error:
                # Without this task nobody would notice any more that a bot blocks the others.
                log.error("workers were not looked at, this is a fault of the hub", place=place_of(error))
                rest = _REST

    def _look(self, process: WorkerProcess, interval: float) -> float:
        """Look, and act; returns how many seconds the next look may wait."""
        blocked = process.looks.look(interval)
        if blocked is None:
            return LOOK_EVERY
        self._judge(process, blocked)
        marks = (mark + _JUST_AFTER - blocked.seconds for mark in (FORESEE, HAND_OVER) if blocked.seconds <= mark)
        return min([LOOK_EVERY, *marks])

    def _judge(self, process: WorkerProcess, blocked: Blocked) -> None:
        held, culprit = blocked.seconds, blocked.culprit
        serving = process.lane.kind == "shared" and process.state == "ready"
        if held > max(map(self._timeout, blocked.bots), default=_DEFAULT_TIMEOUT) + KILL_GRACE:
            log.error("worker process killed, a bot blocks it", bots=blocked.bots, seconds=round(held, 1))
            self._processes.kill(process.lane.number)
        elif held > OFFENCE and culprit and process.judged != blocked.since and process.lane.kind != "solo":
            process.judged = blocked.since
            self._apart.offend(culprit, "it held the loop of its worker over 500 ms")
        if FORESEE < held <= HAND_OVER and serving:
            self._successors.foresee()
        if held > HAND_OVER and serving:
            log.warning("worker process handed over, a bot blocks it", bots=blocked.bots, seconds=round(held, 2))
            if culprit:
                self._apart.warn(culprit, "it held the loop of its worker over 100 ms again and again")
            if self._successors.start("shared") is None:
                return  # no room for a successor: a blocked worker is better than none
            process.retire()
            # The blocking bot keeps its conversations: they stay in order behind the step that blocks. If nobody can
            # say whose step that is, each event counts a death, and runs alone if it happens again.
            free = [bot for bot in self._catalog.bots if bot not in blocked.bots]
            self._give_free(process.lane.owner, free, bool(blocked.bots))

    def _timeout(self, bot: str) -> float:
        spec = self._catalog.bots.get(bot)
        return spec.config.timeout if spec else _DEFAULT_TIMEOUT
