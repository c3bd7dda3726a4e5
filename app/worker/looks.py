"""Tells from looks at a worker's dial whose code blocks it, and for how long (while the node itself was awake)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from app.worker.dial import NANO, Dials

LOOK_EVERY: Final = 0.025
FORESEE: Final = 0.05
"""Seconds of a held loop after which a new process is started: it is ready about when it is needed."""
HAND_OVER: Final = 0.1
"""Seconds of a held loop after which the other bots' work continues in that process."""
# Which thread keeps the interpreter to itself is only inferred from ticks, each of which may be late by itself.
_TURNS_NO_MORE: Final = 0.2
# A callback that bot code gave the loop, or a thread it started, shows only in that the loop stands still.
_NOBODY_KNOWN: Final = 1.0


@dataclass(frozen=True, slots=True)
class Blocked:
    """A worker whose loop does not turn."""

    bots: tuple[str, ...]
    """Who may be blocking it: several if they run in threads, none if what runs is unseen."""
    since: int
    """Monotonic nanoseconds."""
    seconds: float
    """How long the node has seen it so, not counting its own sleep."""

    @property
    def culprit(self) -> str:
        """The only bot that it can be, or an empty string."""
        return self.bots[0] if len(self.bots) == 1 else ""


class Looks:
    """The looks at one worker."""

    def __init__(self, dials: Dials, slot: int) -> None:
        self._dials = dials
        self._slot = slot
        self._since = 0
        self._seen = 0.0

    def look(self, interval: float) -> Blocked | None:
        """Look again, `interval` seconds after the last look; a hold counts once two looks see it."""
        now = time.monotonic_ns()
        holder = self._dials.on_loop(self._slot)
        since = holder.since if holder is not None else self._dials.tick(self._slot)
        if since != self._since or since == 0:
            self._since, self._seen = since, 0.0
            return None
        # Otherwise a node that was itself asleep, as with the whole machine, would blame whom it sees first.
        self._seen += interval if interval <= 2 * LOOK_EVERY else LOOK_EVERY
        seconds = min((now - since) / NANO, self._seen + LOOK_EVERY)
        if holder is not None:
            return Blocked((holder.bot,), since, seconds)
        if seconds <= _TURNS_NO_MORE:
            return None
        bots = tuple(sorted({one.bot for one in self._dials.in_threads(self._slot)}))
        return Blocked(bots, since, seconds) if bots or seconds > _NOBODY_KNOWN else None
