"""Tells from looks at a worker's dial whose code blocks it, and for how long while the node itself was awake."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from app.worker.dial import NANO, Dials

LOOK_EVERY: Final = 0.025
FORESEE: Final = 0.05
"""Seconds of a held loop after which a new process is started: it is ready about when it takes over."""
HAND_OVER: Final = 0.1
"""Seconds of a held loop after which the other bots' work goes on in that process."""
# Whose thread keeps the interpreter to itself is only concluded from ticks, each of which may be late by itself.
_TURNS_NO_MORE: Final = 0.2
# A callback that bot code gave the loop, or a thread of its own, is seen by nothing but that the loop stands still.
_NOBODY_KNOWN: Final = 1.0


@dataclass(frozen=True, slots=True)
class Blocked:
    """A worker whose loop does not turn."""

    bots: tuple[str, ...]
    """Who blocks it; of several in threads nobody can say which, and of what runs unseen nobody at all."""
    since: int
    """Monotonic nanoseconds."""
    seconds: float
    """How long the node has seen it so, its own sleep left out."""

    @property
    def culprit(self) -> str:
        """The only bot that it can be, or nothing."""
        return self.bots[0] if len(self.bots) == 1 else ""


class Looks:
    """The looks at one worker."""

    def __init__(self, dials: Dials, slot: int) -> None:
        self._dials = dials
        self._slot = slot
        self._since = 0
        self._seen = 0.0

    def look(self, interval: float) -> Blocked | None:
        """Look once more, `interval` seconds after the look before; a hold counts when two looks see it."""
        now = time.monotonic_ns()
        holder = self._dials.on_loop(self._slot)
        since = holder.since if holder is not None else self._dials.tick(self._slot)
        if since != self._since or since == 0:
            self._since, self._seen = since, 0.0
            return None
        # A node that was itself asleep, as with the whole machine, would else blame whom it sees first.
        self._seen += interval if interval <= 2 * LOOK_EVERY else LOOK_EVERY
        seconds = min((now - since) / NANO, self._seen + LOOK_EVERY)
        if holder is not None:
            return Blocked((holder.bot,), since, seconds)
        if seconds <= _TURNS_NO_MORE:
            return None
        bots = tuple(sorted({one.bot for one in self._dials.in_threads(self._slot)}))
        return Blocked(bots, since, seconds) if bots or seconds > _NOBODY_KNOWN else None
