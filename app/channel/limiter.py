"""The distributed rate limiter: calls wait here for send slots within Feishu's limits, shared by all nodes."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.channel.limits import AHEAD, Bound, Bounds, Priority, SendLimits
from app.channel.lines import Lines
from app.channel.meter import Meter
from app.channel.pauses import Pauses
from app.channel.quotas import Quotas
from app.channel.redis_clock import MICROS
from app.channel.reserve import Held, Refusal, Reserve, grace
from app.channel.windows import LocalWindows
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import SlotTimeout, StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink

# A slot waited for no longer than this (s) is used without asking whether Feishu has asked for a pause meanwhile: what
# is already on its way to Feishu does not know either.
_BLINK: Final = 0.05
# A call that waits without holding a slot looks again this often (s): one may have been given back.
_LOOK: Final = 1.0
# Part of how far ahead a priority may hold slots. A waiting call lets that much come within reach, and those behind ask
# together with it: a round trip for each slot would cost more than the slots.
_GATHER: Final = 1 / 8

# How often this process reports what it uses (s).
_TELL: Final = 1.0

OnWait = Callable[[float], None]
"""Called before each wait with the seconds it will take, so that a handler's timeout can be put off by them; with a
negative number if a wait ended early.
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A send slot whose time has come."""

    waited: float
    """Seconds from asking to having it."""
    at: float
    """Seconds since the epoch by Redis' clock or, while that is away, this node's."""


class Limiter:
    """Gives slots: within one priority in order of asking, by chat (user, message, card).

    Priorities that may hold slots only a little ahead wait in lines until theirs is near, so that more urgent calls
    find room.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        limits: SendLimits,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: random.Random | None = None,
        memory: Path | None = None,
    ) -> None:
        """`memory` is a file in which it keeps how many processes send, for its next start."""
        self.bounds = Bounds(keys, limits)
        """Which bounds a call falls under."""
        self._ahead = {priority: seconds * limits.second for priority, seconds in AHEAD.items()}
        self._clock = clock
        self._chance = chance or random.Random()
        self.quotas = Quotas(link, keys, limits, clock)
        """Calls of the month."""
        self._meter = meter = Meter(link, keys, limits.headroom, clock, memory)
        windows = LocalWindows(limits.horizon)
        self._pauses = Pauses(link, keys.pauses, windows, clock)
        self._reserve = Reserve(link, windows, self._pauses, lambda: meter.processes, clock)
        self._lines = Lines()
        self.waiting = 0
        """Calls that are waiting for a slot."""

    async def run(self) -> None:
        """Tell Redis once a second what is used, and listen for pauses, until cancelled.

        Without this no other process knows of this one.
        """
        hearing = asyncio.create_task(self._pauses.hear(), name="pauses")
        try:
            while True:
                try:
                    await self._meter.tell()
                    await self.quotas.tell()
                except StoreUnavailable:
                    pass  # told with the next
                await self._clock.sleep(_TELL)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def slot(
        self,
        bounds: Sequence[Bound],
        *,
        priority: Priority = "reply",
        deadline: float | None = None,
        on_wait: OnWait | None = None,
    ) -> Slot:
        """Wait for a slot under all `bounds`, of which the last is the app's.

        `deadline` is in seconds since the epoch; SlotTimeout is raised at once if the slot would be later.
        """
        asked = self._clock.monotonic()
        latest = None if deadline is None else asked + deadline - self._clock.now()
        call = _Call(bounds, priority, self._ahead[priority], latest, on_wait)
        number = self._meter.enter(bounds, asked)
        self.waiting += 1
        held: list[Held] = []
        try:
            if len(bounds) == 1:
                await self._wait(call, held)
            else:
                key = (bounds[0].key, priority)
                place = self._lines.join(key)
                try:
                    await self._turn(call, key, place, bounds[0])
                    await self._wait(call, held)
                finally:
                    self._lines.leave(key, place)
        except BaseException:
            self._reserve.give_back(held)
            raise
        finally:
            self.waiting -= 1
            now = self._clock.monotonic()
            self._meter.leave(bounds, number, now)
        self._reserve.note(held)
        return Slot(waited=now - asked, at=max(each.slot for each in held) / MICROS)

    async def pause(self, bound: Bound, asked: float | None, *, first: float, longest: float, at: float) -> float:
        """Pause `bound` on every node for as many seconds as Feishu `asked`; returns how long that is.

        If it named none: `first` to `longest` seconds, doubling with each refusal. `at` is the slot of the refused
        call.
        """
        return await self._pauses.begin(
            bound, asked or 0.0, first=first, longest=longest, slot=int(at * MICROS), chance=self._chance.random()
        )

    async def close(self) -> None:
        """Wait until all slots on their way back are given back, and report the last calls."""
        await self._reserve.close()
        with suppress(StoreUnavailable):
            await self.quotas.tell()

    async def _wait(self, call: _Call, held: list[Held]) -> None:
        """Obtain slots, and wait until their time."""
        while True:
            asked = self._clock.monotonic()
            await self._hold(call, held)
            begun = self._clock.monotonic()
            due = max(each.due for each in held)
            if due <= begun:
                return
            await self._sleep(call, due - begun)
            late = self._clock.monotonic() - due
            unpaused = due - begun <= _BLINK or self._reserve.stands(held, asked)
            if unpaused and late * MICROS <= grace(call.bounds):
                return
            # Feishu may have asked for a pause meanwhile, or the loop may have been held up.

    async def _hold(self, call: _Call, held: list[Held]) -> None:
        """Hold slots no farther ahead than the call's priority may."""
        app = call.bounds[-1]
        key = (app.key, call.priority, "line")
        place: asyncio.Future[bool] | None = None
        # A call that comes while others of its kind wait goes behind them; one that holds something has been first
        # already.
        in_line = not held and call.ahead < math.inf and self._lines.length(key) > 0
        if in_line:
            place = self._lines.join(key)
        try:
            if in_line:
                await self._turn(call, key, place, app)
            while refusal := await self._reserve.have(call.bounds, held, call.latest(self._clock)):
                now = self._clock.monotonic()
                if call.until is not None and refusal.due > call.until:
                    raise _too_late(refusal, now)
                if refusal.bound is app and not in_line:
                    in_line, place = True, self._lines.join(key)
                    if place is not None:
                        await self._turn(call, key, place, app)
                        continue
                elif refusal.bound is not app and in_line:
                    # A limited chat must not hold up any other.
                    self._lines.leave(key, place)
                    in_line = False
                reach = refusal.due - call.ahead - now
                if in_line and self._lines.length(key) > 1:
                    reach += call.ahead * _GATHER
                await self._sleep(call, min(_LOOK, max(0.0, reach)))
            if in_line and (place is None or place.result()):
                shortest = app.windows[0]
                self._lines.let_in(key, int(call.ahead * _GATHER * MICROS * shortest.count / shortest.span))
        finally:
            if in_line:
                self._lines.leave(key, place)

    async def _turn(self, call: _Call, key: tuple[str, ...], place: asyncio.Future[bool] | None, bound: Bound) -> None:
        """Wait until the callers before have left."""
        if place is None or place.done():
            return
        before = self._lines.length(key) - 1
        soonest = self._clock.monotonic() + max(before // each.count * each.span for each in bound.windows) / MICROS
        if call.until is not None and soonest > call.until:
            raise _too_late(Refusal(bound, soonest), self._clock.monotonic())
        while not place.done():
            begun = self._clock.monotonic()
            left = math.inf if call.until is None else call.until - begun
            if left <= 0:
                raise _too_late(Refusal(bound, begun), begun)
            if call.on_wait is None:
                await asyncio.wait((place,), timeout=None if left == math.inf else left)
                continue
            # Only a lower bound of the wait is known.
            piece = min(left, max(_LOOK, soonest - begun))
            call.tell(piece)
            await asyncio.wait((place,), timeout=piece)
            call.tell(self._clock.monotonic() - begun - piece)

    async def _sleep(self, call: _Call, seconds: float) -> None:
        call.tell(seconds)
        await self._clock.sleep(seconds)


@dataclass(slots=True)
class _Call:
    """A call that waits."""

    bounds: Sequence[Bound]
    priority: Priority
    ahead: float
    until: float | None
    """Its deadline, on the monotonic clock."""
    on_wait: OnWait | None

    def latest(self, clock: Clock) -> float | None:
        """The latest time of a slot that it may hold now."""
        if self.ahead == math.inf:
            return self.until
        near = clock.monotonic() + self.ahead
        return near if self.until is None else min(near, self.until)

    def tell(self, seconds: float) -> None:
        if self.on_wait is not None and seconds:
            self.on_wait(seconds)


def _too_late(refusal: Refusal, now: float) -> SlotTimeout:
    ahead = max(0.0, refusal.due - now)
    error = SlotTimeout(
        f"no send slot before the deadline: the next one of {refusal.bound.label} is {ahead:.1f} s away; "
        "send less to this chat or by this app, or give the handler more time",
        retry_after=ahead,
    )
    error.whole_app = refusal.bound.kind == "app"
    return error
