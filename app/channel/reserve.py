"""Reserves a slot under each bound of a call, at one time: by Redis, or by this process while Redis is away."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.channel.limits import Bound
from app.channel.windows import LocalWindows, shared
from app.core.channel import listen
from app.core.clock import Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.core.lua import Pipeliner, Script
from app.core.redis import RedisLink

_HERE = Path(__file__).parent
_RESERVE = Script(_HERE / "reserve.lua")
_GIVE_BACK = Script(_HERE / "give_back.lua")
_PAUSE = Script(_HERE / "pause.lua")

# Redis that did not answer is left alone for so long (s): else every send would wait for its time-out.
_REST: Final = 1.0
# Bounds that push each other later agree after two or three rounds; more would mean a bound of no headroom.
_MAX_ROUNDS: Final = 8
MICROS: Final = 1_000_000

log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class Held:
    """A slot under one bound, held until the call is made."""

    bound: Bound
    slot: int
    """Microseconds since the epoch as Redis has it; a local one's are of this node's monotonic clock."""
    due: float
    """When it is, on this node's monotonic clock."""
    local: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """No slot in time: under which bound, and when (monotonic) it would have one."""

    bound: Bound
    due: float


@dataclass(slots=True)
class _Asked:
    """A bound that was asked, and what is held under it so far."""

    bound: Bound
    mine: Held | None
    reply: asyncio.Future[Any] | None
    """None while Redis is away."""


class Reserve:
    """Each bound is one script on one key; where they give different times, the earlier ones are exchanged."""

    def __init__(self, link: RedisLink, pauses: str, horizon: int, nodes: Callable[[], int], clock: Clock) -> None:
        """`pauses`: the channel on which pauses are told; `horizon`: µs for which grants are remembered; `nodes`: how
        many share a bound while Redis is away.
        """
        self._link = link
        self._pauses = pauses
        self._told_since = math.inf
        self._clock = clock
        self._horizon = horizon
        self._nodes = nodes
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)
        self._local = LocalWindows(horizon)
        self._away_until = 0.0
        self._returns: set[asyncio.Task[None]] = set()

    async def have(
        self, bounds: Sequence[Bound], held: list[Held], latest: float | None, *, last_first: bool = False
    ) -> Refusal | None:
        """Have slots under all bounds at one time, now or later but not after `latest` (monotonic).

        `held` always says what is held; what is still good is kept. `last_first` asks the last bound alone, and the
        others only for what it gives. After a refusal nothing is held.
        """
        due = self._clock.monotonic()
        wanted: Sequence[Bound] = bounds[-1:] if last_first else bounds
        for _ in range(_MAX_ROUNDS):
            refusal = await self._round(wanted, held, due, latest)
            if refusal is not None:
                self.give_back(held)
                return refusal
            for each in held:
                due = max(due, each.due)
            good = [each.bound for each in held if (due - each.due) * MICROS <= each.bound.grace]
            if len(good) == len(bounds):
                break
            wanted = [bound for bound in bounds if bound not in good]
        return None

    async def hear(self) -> None:
        """Hear of pauses as they begin, until cancelled; without it whoever has waited asks anew."""
        await listen(self._link, self._pauses, self._heard, clock=self._clock)

    def stands(self, held: Sequence[Held], asked: float) -> bool:
        """Whether slots for which Redis was asked at `asked` (monotonic) or later are good without asking again."""
        return (
            asked >= self._told_since
            and not self._is_away()
            and all(not each.local and self._local.paused(each.bound.pause) <= each.due * MICROS for each in held)
        )

    def note(self, held: Sequence[Held]) -> None:
        """Remember slots that are used now, for the time when Redis is away."""
        now = int(self._clock.monotonic() * MICROS)
        for each in held:
            if not each.local:
                self._local.note(each.bound.key, now, now)

    def give_back(self, held: list[Held]) -> None:
        """Give back what will not be used; behind the caller's back, who may be cancelled and has to end."""
        if held:
            self._behind(self._return(tuple(held)))
            held.clear()

    async def pause(
        self, bound: Bound, asked: float, *, first: float, longest: float, slot: int, chance: float
    ) -> float:
        """Give no slot of `bound` for the seconds `asked`, on any node; how long that is.

        Where 0 is asked, it is from `first` to `longest` seconds, doubling with each refusal. Those whose slot (µs)
        was before the last refusal count with it. `chance` (0 to 1) adds up to a tenth.
        """
        args = [int(span * MICROS) for span in (asked, first, longest)]
        seconds = (asked or first) * (1 + chance / 10)
        if not self._is_away():
            try:
                micros = await self._pipe.run(
                    _PAUSE, [bound.pause], [*args, slot, f"{1 + chance / 10:.3f}", self._pauses]
                )
                seconds = micros / MICROS
            except StoreUnavailable as error:
                self._rest(error)
        now = int(self._clock.monotonic() * MICROS)
        self._local.pause(bound.pause, now + int(seconds * MICROS), now)
        return seconds

    async def close(self) -> None:
        """Wait until what is on its way back has been given back."""
        await asyncio.gather(*self._returns, return_exceptions=True)

    def _heard(self, message: bytes | None) -> None:
        now = self._clock.monotonic()
        if message is None:
            self._told_since = now
            return
        left, _, pause = message.decode().partition(" ")
        micros = int(now * MICROS)
        self._local.pause(pause, micros + int(left), micros)

    # -- how -------------------------------------------------------------------------------------------------

    async def _round(
        self, wanted: Sequence[Bound], held: list[Held], due: float, latest: float | None
    ) -> Refusal | None:
        """Ask all that are wanted in one round trip; the refusal that is farthest away, if any."""
        asked = [self._ask(bound, held, due, latest) for bound in wanted]
        refusal: Refusal | None = None
        while asked:
            try:
                taken = await self._answer(asked[0], due, latest)
            except BaseException:
                # What Redis grants meanwhile has nobody any more.
                self._behind(self._return_replies(tuple(asked)))
                raise
            first = asked.pop(0)
            if first.mine is not None:
                held.remove(first.mine)
            if isinstance(taken, Held):
                held.append(taken)
            elif refusal is None or taken.due > refusal.due:
                refusal = taken
        return refusal

    def _ask(self, bound: Bound, held: Sequence[Held], due: float, latest: float | None) -> _Asked:
        mine = next((each for each in held if each.bound is bound), None)
        if self._is_away():
            return _Asked(bound, mine, None)
        wait, patience = self._from_now(due, latest)
        slot = mine.slot if mine is not None and not mine.local else 0
        args: list[int] = [wait, patience, slot, bound.grace, self._horizon, bound.apart]
        for window in bound.windows:
            args += (window.count, window.span)
        return _Asked(bound, mine, self._pipe.submit(_RESERVE, [bound.key, bound.pause], args))

    async def _answer(self, asked: _Asked, due: float, latest: float | None) -> Held | Refusal:
        bound = asked.bound
        if asked.reply is not None:
            try:
                # Shielded: a reply that is on its way names the slot to be given back.
                slot, redis_now, granted, paused = await asyncio.shield(asked.reply)
            except StoreUnavailable as error:
                self._rest(error)
            else:
                now = self._clock.monotonic()
                if paused > redis_now:
                    micros = int(now * MICROS)
                    self._local.pause(bound.pause, micros + paused - redis_now, micros)
                at = now + max(0.0, (slot - redis_now) / MICROS)
                return Held(bound, slot, at, local=False) if granted else Refusal(bound, at)
        return self._locally(bound, asked.mine, due, latest)

    def _locally(self, bound: Bound, mine: Held | None, due: float, latest: float | None) -> Held | Refusal:
        wait, patience = self._from_now(due, latest)
        now = self._clock.monotonic()
        micros = int(now * MICROS)
        nodes = max(1, self._nodes())
        slot, granted = self._local.reserve(
            bound.key,
            micros,
            wait=max(wait, self._local.paused(bound.pause) - micros),
            windows=[shared(window, nodes) for window in bound.windows],
            latest=None if patience < 0 else patience,
            held=mine.slot if mine is not None and mine.local else 0,
            grace=bound.grace,
            apart=bound.apart * nodes,
        )
        at = now + max(0.0, (slot - micros) / MICROS)
        return Held(bound, slot, at, local=True) if granted else Refusal(bound, at)

    def _from_now(self, due: float, latest: float | None) -> tuple[int, int]:
        """Earliest and latest as scripts want them: microseconds from now; -1 for any."""
        now = self._clock.monotonic()
        return max(0, int((due - now) * MICROS)), -1 if latest is None else max(0, int((latest - now) * MICROS))

    async def _return(self, held: Sequence[Held]) -> None:
        for each in held:
            if each.local:
                self._local.give_back(each.bound.key, each.slot)
            elif not self._is_away():
                try:
                    await self._pipe.run(_GIVE_BACK, [each.bound.key], [each.slot])
                except StoreUnavailable as error:
                    self._rest(error)

    async def _return_replies(self, asked: Sequence[_Asked]) -> None:
        for each in asked:
            if each.reply is not None:
                try:
                    slot, _, granted, _ = await each.reply
                except StoreUnavailable:
                    continue
                if granted:
                    await self._return([Held(each.bound, slot, 0.0, local=False)])

    def _behind(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    def _is_away(self) -> bool:
        return self._clock.monotonic() < self._away_until

    def _rest(self, error: StoreUnavailable) -> None:
        if not self._is_away():
            log.warning("send limits are kept by this node alone while Redis is away", reason=str(error))
        self._away_until = self._clock.monotonic() + _REST
