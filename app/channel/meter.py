"""Tells Redis once a second how much of the limits this process uses, and learns how many others there are."""

from __future__ import annotations

import asyncio
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
from app.storage.private_files import replace_private

_TELL = Script(Path(__file__).parent / "tell.lua")

LIFE: Final = 3.5
"""Seconds after which a silent process is no longer counted."""
TOP: Final = 20
"""How many chats, people, messages, cards and hooks are reported: those where most wait, then the most used."""
_MOST_APIS: Final = 200
# A bound unused for its longest window and this many seconds is forgotten.
_FORGET: Final = 5.0
# Seconds: a process that sees the others end one by one, and is then stopped too, was not alone.
_LASTING: Final = 60.0


@dataclass(slots=True)
class _Use:
    bound: Bound
    last: float
    calls: int = 0
    """Since the last report."""
    waiting: dict[int, float] = field(default_factory=dict)
    """Since when each call waits, the longest first."""


class Meter:
    """Counts what waits for which bound; bounded, however many chats there are."""

    def __init__(self, link: RedisLink, keys: Keys, headroom: float, clock: Clock, memory: Path | None = None) -> None:
        """`memory` is a file that says how many processes send, for a start while Redis is away."""
        self._link = link
        self._keys = keys
        self._headroom = headroom
        self._clock = clock
        self._name = secrets.token_hex(6)
        self._uses: dict[str, _Use] = {}
        self._calls = 0
        self._memory = memory
        self._kept = self.processes = _remembered(memory)
        """How many processes send, as Redis said last."""
        self._fewer_since: float | None = None

    def enter(self, bounds: Sequence[Bound], now: float) -> int:
        """Note that a call begins to wait (monotonic `now`); returns its number."""
        self._calls = number = self._calls + 1
        for bound in bounds:
            use = self._uses.get(bound.key)
            if use is None:
                use = self._uses[bound.key] = _Use(bound, now)
            use.waiting[number] = now
        return number

    def leave(self, bounds: Sequence[Bound], number: int, now: float) -> None:
        """Note that a call waits no longer."""
        for bound in bounds:
            use = self._uses[bound.key]
            use.last = now
            use.calls += 1
            del use.waiting[number]

    async def tell(self) -> None:
        """Report to Redis; raises StoreUnavailable."""
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
        await self._remember(self.processes, now)

    async def _remember(self, processes: int, now: float) -> None:
        """Keep the number on disk: a higher one at once, a lower one when it has lasted."""
        self._fewer_since = None if processes >= self._kept else self._fewer_since or now
        lasting = self._fewer_since is None or now - self._fewer_since >= _LASTING
        if self._memory is None or processes == self._kept or not lasting:
            return
        try:
            await asyncio.to_thread(replace_private, self._memory, b"%d" % processes)
        except OSError:
            return  # tried again with the next
        self._kept, self._fewer_since = processes, None

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
            # As Feishu counts: without the headroom, which stretches the windows.
            "spans": [(one.count, one.span, round(one.span * (1 - self._headroom) / 1e6, 3)) for one in bound.feishu],
            "waiting": len(use.waiting),
            "wait": round(now - next(iter(use.waiting.values()), now), 3),
        }


def _remembered(memory: Path | None) -> int:
    try:
        return max(1, int(memory.read_bytes())) if memory is not None else 1
    except (OSError, ValueError):
        return 1


def _top(uses: list[_Use], count: int) -> list[_Use]:
    return heapq.nlargest(count, uses, key=lambda use: (len(use.waiting), use.calls, use.last))
