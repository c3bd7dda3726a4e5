"""The law of the limiter, in memory: a node keeps it for itself while Redis is away."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

Micros = int
"""Microseconds: whole numbers, so that Redis' Lua and Python agree to the last digit."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `count` grants in any `span` microseconds, wherever the span begins."""

    count: int
    span: Micros


def earliest(grants: Sequence[Micros], wanted: Micros, windows: Sequence[Window]) -> Micros:
    """The first time from `wanted` on that can join the sorted `grants` and keeps every window."""
    slot = wanted
    while (later := _later(grants, slot, windows)) is not None:
        slot = later
    return slot


def _later(grants: Sequence[Micros], slot: Micros, windows: Sequence[Window]) -> Micros | None:
    """The time to which one of the windows moves `slot`, or None if all let it be."""
    before = bisect_right(grants, slot)
    if before and grants[before - 1] == slot:
        # Grants are told apart by their time.
        return slot + 1
    for window in windows:
        # Runs of `count` grants that the slot would make too dense, the latest first: it moves farthest.
        for first in range(min(before, len(grants) - window.count), max(before - window.count, 0) - 1, -1):
            start, end = grants[first], grants[first + window.count - 1]
            if max(end, slot) - min(start, slot) < window.span:
                return start + window.span
    return None


@dataclass(slots=True)
class _Log:
    grants: list[Micros] = field(default_factory=list)
    paused: Micros = 0


class LocalWindows:
    """Grants by key, with the same manners as `reserve.lua`."""

    def __init__(self, horizon: Micros, *, max_keys: int = 10_000) -> None:
        """`horizon`: how long grants are remembered; over `max_keys`, those that say nothing any more are dropped."""
        self._horizon = horizon
        self._max_keys = self._prune_at = max_keys
        self._logs: dict[str, _Log] = {}

    def reserve(
        self,
        key: str,
        now: Micros,
        *,
        wait: Micros,
        windows: Sequence[Window],
        latest: Micros | None = None,
        held: Micros = 0,
        grace: Micros = 0,
    ) -> tuple[Micros, bool]:
        """The slot and whether it was granted; `wait` and `latest` are from `now`, `held` is kept or exchanged."""
        log = self._log(key, now)
        wanted = max(now + wait, log.paused)
        if held:
            index = bisect_right(log.grants, held) - 1
            if index >= 0 and log.grants[index] == held:
                if wanted <= held + grace:
                    return held, True
                del log.grants[index]
        slot = earliest(log.grants, wanted, windows)
        if latest is not None and slot > now + latest:
            return slot, False
        insort(log.grants, slot)
        return slot, True

    def note(self, key: str, slot: Micros, now: Micros) -> None:
        """Remember a grant that was made elsewhere (by Redis), for the time when Redis is away."""
        log = self._log(key, now)
        insort(log.grants, slot)

    def give_back(self, key: str, slot: Micros) -> None:
        """Free a slot that will not be used."""
        log = self._logs.get(key)
        if log is not None and slot in log.grants:
            log.grants.remove(slot)

    def pause(self, key: str, until: Micros, now: Micros) -> None:
        """Grant nothing before `until`."""
        log = self._log(key, now)
        log.paused = max(log.paused, until)

    def _log(self, key: str, now: Micros) -> _Log:
        log = self._logs.get(key)
        if log is None:
            if len(self._logs) >= self._prune_at:
                self._prune(now)
            log = self._logs[key] = _Log()
        elif log.grants and log.grants[0] < now - self._horizon:
            del log.grants[: bisect_right(log.grants, now - self._horizon)]
        return log

    def _prune(self, now: Micros) -> None:
        stale = now - self._horizon
        self._logs = {
            key: log for key, log in self._logs.items() if log.paused > now or (log.grants and log.grants[-1] > stale)
        }
        # Where all of them still say something, looking again at once would find the same.
        self._prune_at = max(self._max_keys, 2 * len(self._logs))
