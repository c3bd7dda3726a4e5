"""The limiter's law in memory: each node keeps it for itself while Redis is away."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

Micros = int
"""Microseconds, as integers, so that Redis' Lua and Python agree to the last digit."""


SOON: Final[Micros] = 1000
"""A slot this near is not waited for: slots of one instant differ by a microsecond."""


@dataclass(frozen=True, slots=True)
class Window:
    """At most `count` grants in any `span` microseconds, wherever the span begins."""

    count: int
    span: Micros


class Law(Protocol):
    """What one key of the limiter allows."""

    @property
    def key(self) -> str: ...

    @property
    def pause(self) -> str:
        """The key that says until when Feishu asked to pause."""
        ...

    @property
    def windows(self) -> Sequence[Window]: ...

    @property
    def apart(self) -> Micros:
        """How far apart slots are that are waited for, so that they do not come in bursts."""
        ...


def shared(window: Window, parties: int) -> Window:
    """What each of `parties` may do on its own: a part of the count, or, if that is below one, one in a longer span."""
    count = window.count // parties
    return Window(count, window.span) if count else Window(1, window.span * parties // window.count)


def earliest(grants: Sequence[Micros], wanted: Micros, windows: Sequence[Window]) -> Micros:
    """The first time from `wanted` on that joins the sorted `grants` without breaking a window."""
    slot = wanted
    while (later := _later(grants, slot, windows)) is not None:
        slot = later
    return slot


def _later(grants: Sequence[Micros], slot: Micros, windows: Sequence[Window]) -> Micros | None:
    """The time to which one of the windows moves `slot`, or None if all permit it."""
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


def _stands(grants: Sequence[Micros], slot: Micros) -> bool:
    before = bisect_right(grants, slot)
    return before > 0 and grants[before - 1] == slot


class LocalWindows:
    """Grants by key; behaves like `reserve.lua`."""

    def __init__(self, horizon: Micros, *, max_keys: int = 10_000) -> None:
        """Beyond `max_keys` keys, those that no longer matter are dropped."""
        self.horizon = horizon
        """How long grants are remembered."""
        self._max_keys = self._prune_at = max_keys
        self._logs: dict[str, list[Micros]] = {}
        self._pauses: dict[str, Micros] = {}

    def reserve(
        self,
        laws: Sequence[Law],
        now: Micros,
        *,
        wait: Micros,
        latest: Micros | None = None,
        held: Micros = 0,
        grace: Micros = 0,
        parties: int = 1,
    ) -> tuple[Micros, int | None]:
        """The slot, the same under all laws, and None; if it is too late, the law that delays it most.

        `wait` and `latest` are from `now`; `held` is kept or exchanged; `parties` share what is allowed.
        """
        logs = [self._grants(law.key, now) for law in laws]
        slot = wanted = now + wait
        delays = [max(0, self.paused(law.pause) - wanted) for law in laws]
        slot += max(delays)
        if held:
            if slot <= held + grace and all(_stands(grants, held) for grants in logs):
                return held, None
            for grants in logs:
                if _stands(grants, held):
                    grants.remove(held)
        settled = False
        while not settled:
            settled = True
            for place, (law, grants) in enumerate(zip(laws, logs, strict=True)):
                windows = [shared(window, parties) for window in law.windows] if parties > 1 else law.windows
                later = earliest(grants, slot, windows)
                if law.apart and later > now + SOON:
                    later = earliest(grants, later, (*windows, Window(1, law.apart * parties)))
                if later > slot:
                    delays[place] += later - slot
                    slot, settled = later, False
        if latest is not None and slot > now + latest:
            return slot, delays.index(max(delays))
        for grants in logs:
            insort(grants, slot)
        return slot, None

    def note(self, key: str, slot: Micros, now: Micros) -> None:
        """Remember a grant made by Redis, for when that is away."""
        insort(self._grants(key, now), slot)

    def since(self, start: Micros) -> dict[str, Sequence[Micros]]:
        """The grants from then on, by key."""
        return {key: later for key, grants in self._logs.items() if (later := grants[bisect_left(grants, start) :])}

    def give_back(self, laws: Sequence[Law], slot: Micros) -> None:
        """Free a slot that will not be used."""
        for law in laws:
            grants = self._logs.get(law.key, [])
            if _stands(grants, slot):
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
        elif grants and grants[0] < now - self.horizon:
            del grants[: bisect_right(grants, now - self.horizon)]
        return grants

    def _prune(self, now: Micros) -> None:
        stale = now - self.horizon
        self._logs = {key: grants for key, grants in self._logs.items() if grants and grants[-1] > stale}
        # If all of them still matter, looking again at once would find the same.
        self._prune_at = max(self._max_keys, 2 * len(self._logs))
