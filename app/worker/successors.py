"""Replaces workers that die or block: by the spare, if one was ordered in time, or a new process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

from app.core.clock import Clock
from app.core.logs import get_logger
from app.worker.apart import Apart
from app.worker.lane import LaneKind
from app.worker.processes import Processes, WorkerProcess

SPARE_TERM: Final = 60.0
"""Seconds that a spare waits to be used: a bot that holds its loop again and again must not cause a fork each time."""
_SHORT_LIFE: Final = 5.0
_LONGEST_PAUSE: Final = 5.0

log = get_logger(__name__)


class Successors:
    """Keeps up the number of shared workers, and one for the bots kept apart."""

    def __init__(
        self,
        processes: Processes,
        apart: Apart,
        clock: Clock,
        go: Callable[[Coroutine[Any, Any, object]], object],
    ) -> None:
        """`go` runs in the background what has to wait."""
        self._processes = processes
        self._apart = apart
        self._clock = clock
        self._go = go
        self._short_lives: Counter[LaneKind] = Counter()
        self._spare_until = 0.0

    def start(self, kind: LaneKind) -> WorkerProcess | None:
        """Start one more worker, from the spare if there is one; None if there is no room."""
        spare = self._processes.spare if kind == "shared" else None
        if spare is None:
            return self._processes.spawn(kind, self._apart.bots)
        spare.serve()
        return spare

    def foresee(self) -> None:
        """A worker may soon have to be replaced: get one ready that takes no work yet, at most one a node."""
        self._spare_until = self._clock.monotonic() + SPARE_TERM
        if self._processes.spare is None:
            self._processes.spawn("shared", self._apart.bots, spare=True)

    def release_due(self) -> None:
        """End a spare that was not needed for a while."""
        spare = self._processes.spare
        if spare is not None and self._clock.monotonic() >= self._spare_until:
            spare.retire()

    def replace(self, process: WorkerProcess, culprit: str) -> None:
        """Start another in place of one that died; after a pause if they die young."""
        kind = process.lane.kind
        if kind == "solo" or process.spare or (kind == "quarantine" and not self._apart.bots):
            return
        if self._processes.has_heir(process):
            return
        if self._clock.monotonic() - process.ordered > _SHORT_LIFE:
            self._short_lives[kind] = 0
        elif not (culprit and kind == "shared"):  # the culprit is apart now: the next one lives
            self._short_lives[kind] += 1
        lives = self._short_lives[kind]
        pause = min(_LONGEST_PAUSE, 0.1 * 2**lives) if lives > 1 else 0.0
        if pause:
            log.warning("worker processes die young, the next one waits", seconds=pause, lane=kind)
            self._go(self._start_later(process, pause))
        else:
            self._start_again(process)

    async def _start_later(self, process: WorkerProcess, pause: float) -> None:
        await self._clock.sleep(pause)
        self._start_again(process)

    def _start_again(self, process: WorkerProcess) -> None:
        if process.lane.kind == "shared" and (another := self.start("shared")) is not None:
            another.replaces = process.replaces
        self._apart.have_lane()
