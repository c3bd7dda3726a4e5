"""The gateway's counters: plain numbers that the metrics page reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Final

# Seconds; 1.5 s is promised, 3 s is what Feishu waits.
_BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 3.0)


@dataclass(slots=True)
class Histogram:
    """Counts of durations by upper bound, the last place for all that are longer."""

    bounds: tuple[float, ...] = _BOUNDS
    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def __copy__(self) -> Histogram:
        return Histogram(self.bounds, [*self.counts], self.total)


def _by_bot() -> defaultdict[str, int]:
    return defaultdict(int)


@dataclass(slots=True)
class Counts:
    """One gateway process's numbers since its start; keys are ids of configured bots, never what a caller wrote."""

    requests: int = 0
    """Every request, whatever its path."""
    accepted: defaultdict[str, int] = field(default_factory=_by_bot)
    duplicates: defaultdict[str, int] = field(default_factory=_by_bot)
    spooled: defaultdict[str, int] = field(default_factory=_by_bot)
    """The accepted events that went to the spool."""
    odd_timestamps: defaultdict[str, int] = field(default_factory=_by_bot)
    refused: defaultdict[tuple[str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    """By bot ('' if unknown), public code and failed check ('' if the code says it all)."""
    calls_answered: defaultdict[str, int] = field(default_factory=_by_bot)
    calls_unanswered: defaultdict[str, int] = field(default_factory=_by_bot)
    """Callbacks that got an empty answer or an error toast because nothing better came in time."""
    commits: int = 0
    commit_failures: int = 0
    accept_seconds: Histogram = field(default_factory=Histogram)
    """From an event's first byte until it was safe; without callbacks, which wait for an answer."""

    def copied(self) -> Counts:
        """A copy, for reading in another thread."""
        return Counts(**{one.name: copy(getattr(self, one.name)) for one in fields(self)})
