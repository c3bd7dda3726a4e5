"""What this process uses of the limits, told to Redis once a second; it hears how many others there are."""

from __future__ import annotations

import heapq
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from app.channel.limits import Bound
from app.core.clock import Clock
from app.core.keys import Keys
from app.core.lua import Script
from app.core.redis import RedisLink

_TELL = Script(Path(__file__).parent / "tell.lua")

LIFE: Final = 3.5
"""Seconds after which a process that says nothing is no longer counted."""
TOP: Final = 20
"""Of chats, people, messages, cards and hooks only so many are told of: where most wait, then the most used."""
_MOST_APIS: Final = 200
# What nobody used for its longest window and so many seconds says nothing any more.
_FORGET: Final = 5.0


@dataclass(slots=True)
class _Use:
    bound: Bound
    last: float
    calls: int = 0
    """Since the last report."""
    waiting: dict[int, float] = field(default_factory=dict)
    """Since when each waits, the longest first."""


class Meter:
    """Who waits for which bound; bounded, whatever number of chats there is."""

    def __init__(self, link: RedisLink, keys: Keys, headroom: float, clock: Clock) -> None:
        self._link = link
        self._keys = keys
        self._headroom = headroom
        self._clock = clock
        self._name = secrets.token_hex(6)
        self._uses: dict[str, _Use] = {}
        self._calls = 0
        self.processes = 1
        """How many processes send, as Redis had it last."""

    def enter(self, bounds: Sequence[Bound], now: float) -> int:
        """A call begins to wait (monotonic `now`); its number."""
        self._calls = number = self._calls + 1
        for bound in bounds:
            use = self._uses.get(bound.key)
            if use is None:
                use = self._uses[bound.key] = _Use(bound, now)
            use.waiting[number] = now
        return number

    def leave(self, bounds: Sequence[Bound], number: int, now: float) -> None:
        """It waits no longer."""
        for bound in bounds:
            use = self._uses[bound.key]
            use.last = now
            use.calls += 1
            del use.waiting[number]

    async def tell(self) -> None:
        """Report to Redis; StoreUnavailable where it cannot be reached."""
        now = self._clock.monotonic()
        self._uses = {
            key: use
            for key, use in self._uses.items()
            if use.waiting or now - use.last < use.bound.feishu[-1].span / 1e6 + _FORGET
        }
        report = orjson.dumps([self._line(use, now) for use in self._told()])
        for use in self._uses.values():
            use.calls = 0
        own = self._keys.limit_use(self._name)
        self.processes = await _TELL(
            self._link.commands, [self._keys.limits, own], [self._name, report, int(LIFE * 1000)]
        )

    def _told(self) -> list[_Use]:
        apps = [use for use in self._uses.values() if use.bound.kind == "app"]
        others = [use for use in self._uses.values() if use.bound.kind != "app"]
        return [*_top(apps, _MOST_APIS), *_top(others, TOP)]

    def _line(self, use: _Use, now: float) -> dict[str, Any]:
        bound = use.bound
        return {
            "kind": bound.kind,
            "name": bound.name,
            "api": bound.api,
            "key": bound.key,
            "pause": bound.pause,
            # As Feishu counts: the headroom stretches the windows.
            "spans": [(one.count, one.span, round(one.span * (1 - self._headroom) / 1e6, 3)) for one in bound.feishu],
            "waiting": len(use.waiting),
            "wait": round(now - next(iter(use.waiting.values()), now), 3),
        }


def _top(uses: list[_Use], count: int) -> list[_Use]:
    return heapq.nlargest(count, uses, key=lambda use: (len(use.waiting), use.calls, use.last))
