"""The law of the limiter, in memory: a node keeps it for itself while Redis is away."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Micros = int
"""Microseconds: whole numbers, so that Redis' Lua and Python agree to the last digit."""


SOON: Final[Micros] = 1000
"""So near a slot is not waited for: those of one instant are told apart by a microsecond."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `count` grants in any `span` microseconds, wherever the span begins."""

    count: int
    span: Micros


def shared(window: Window, parties: int) -> Window:
    """What each of so many may do on its own: a part of the count, or where that is below one, one in longer."""
    count = window.count // parties
    return Window(count, window.span) if count else Window(1, window.span * parties // window.count)


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


class LocalWindows:
    """Grants by key, with the same manners as `reserve.lua`."""

    def __init__(self, horizon: Micros, *, max_keys: int = 10_000) -> None:
        """`horizon`: how long grants are remembered; over `max_keys`, those that say nothing any more are dropped."""
        self._horizon = horizon
        self._max_keys = self._prune_at = max_keys
        self._logs: dict[str, list[Micros]] = {}
        self._pauses: dict[str, Micros] = {}

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
        apart: Micros = 0,
    ) -> tuple[Micros, bool]:
        """The slot and whether it was granted; `wait` and `latest` are from `now`, `held` is kept or exchanged.

        Slots that are waited for are `apart`, lest they come in bursts.
        """
        grants = self._grants(key, now)
        wanted = now + wait
        if held:
            index = bisect_right(grants, held) - 1
            if index >= 0 and grants[index] == held:
                if wanted <= held + grace:
                    return held, True
                del grants[index]
        slot = earliest(grants, wanted, windows)
        if apart and slot > now + SOON:
            slot = earliest(grants, slot, (*windows, Window(1, apart)))
        if latest is not None and slot > now + latest:
            return slot, False
        insort(grants, slot)
        return slot, True

    def note(self, key: str, slot: Micros, now: Micros) -> None:
        """Remember a grant that was made elsewhere (by Redis), for the time when Redis is away."""
        insort(self._grants(key, now), slot)

    def give_back(self, key: str, slot: Micros) -> None:
        """Free a slot that will not be used."""
        grants = self._logs.get(key, [])
        if slot in grants:
            grants.remove(slot)

    def pause(self, key: str, until: Micros, now: Micros) -> None:
        """Note until when something is paused."""
        if len(self._pauses) >= self._max_keys:
            self._pauses = {key: until for key, until in self._pauses.items() if until > now}
        self._pauses[key] = max(until, self.paused(key))

    def paused(self, key: str) -> Micros:
        """Until when it is paused."""
        return self._pauses.get(key, 0)

    def _grants(self, key: str, now: Micros) -> list[Micros]:
        grants = self._logs.get(key)
        if grants is None:
            if len(self._logs) >= self._prune_at:
                self._prune(now)
            grants = self._logs[key] = []
        elif grants and grants[0] < now - self._horizon:
            del grants[: bisect_right(grants, now - self._horizon)]
        return grants

    def _prune(self, now: Micros) -> None:
        stale = now - self._horizon
        self._logs = {key: grants for key, grants in self._logs.items() if grants and grants[-1] > stale}
        # Where all of them still say something, looking again at once would find the same.
        self._prune_at = max(self._max_keys, 2 * len(self._logs))
