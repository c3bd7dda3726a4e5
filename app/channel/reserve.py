"""Reserves a slot at one time under all bounds of a call: in Redis, or in this process while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from app.channel.limits import Bound
from app.channel.pauses import Pauses
from app.channel.redis_clock import MICROS, RedisClock
from app.channel.windows import LocalWindows
from app.core.clock import Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.core.lua import Pipeliner, Script
from app.core.redis import RedisLink
from app.core.tasks import started

_HERE = Path(__file__).parent
_RESERVE = Script(_HERE / "reserve.lua")
_GIVE_BACK = Script(_HERE / "give_back.lua")
_CATCH_UP = Script(_HERE / "catch_up.lua")

# After a failure Redis is left alone this long (s), so that not every send waits for a time-out.
_REST: Final = 1.0
# Bounds that push each other later agree after two or three rounds; more would mean that one has no room.
_MAX_ROUNDS: Final = 8

log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class Held:
    """A slot under bounds that were asked together, held until the call is made."""

    bounds: tuple[Bound, ...]
    slot: int
    """Microseconds since the epoch by Redis' clock; for a local slot, on this node's monotonic clock."""
    due: float
    """When it is, on this node's monotonic clock."""
    local: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """No slot in time: which bound has none, and when (monotonic) it would."""

    bound: Bound
    due: float


@dataclass(slots=True)
class _Asked:
    """Bounds that were asked together, and what is held under them so far."""

    bounds: tuple[Bound, ...]
    mine: Held | None
    at: float
    """When, by this node's monotonic clock."""
    reply: asyncio.Future[Any] | None
    """None while Redis is away."""


class Reserve:
    """One script serves all bounds of a call.

    In Cluster, where each lies elsewhere, it is one for each bound, and if they give different times the earlier slots
    are exchanged.
    """

    def __init__(
        self, link: RedisLink, windows: LocalWindows, pauses: Pauses, nodes: Callable[[], int], clock: Clock
    ) -> None:
        """`nodes`: how many share a bound while Redis is away and `windows` keeps it."""
        self._link = link
        self._local = windows
        self._pauses = pauses
        self._nodes = nodes
        self._clock = clock
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)
        self._redis_clock = RedisClock()
        self._away_until = 0.0
        self._alone_since: float | None = None
        self._returns: set[asyncio.Task[None]] = set()

    async def have(self, bounds: Sequence[Bound], held: list[Held], latest: float | None) -> Refusal | None:
        """Obtain slots under all bounds at one time, now or later but not after `latest` (monotonic).

        `held` always says what is held; what is still good is kept. After a refusal nothing is held.
        """
        due = self._clock.monotonic()
        wanted = [(bound,) for bound in bounds] if self._link.cluster else [tuple(bounds)]
        for _ in range(_MAX_ROUNDS):
            refusal = await self._round(wanted, held, due, latest)
            if refusal is not None:
                self.give_back(held)
                return refusal
            for each in held:
                due = max(due, each.due)
            wanted = [each.bounds for each in held if (due - each.due) * MICROS > grace(each.bounds)]
            if not wanted:
                break
        return None

    def stands(self, held: Sequence[Held], asked: float) -> bool:
        """Whether slots that Redis was asked for at `asked` (monotonic) or later are good without asking again."""
        return (
            self._pauses.known_since(asked)
            and not self._is_away()
            and all(not each.local and self._pauses.over(each.bounds, each.due) for each in held)
        )

    def note(self, held: Sequence[Held]) -> None:
        """Remember slots that are used, for when Redis is away."""
        now = int(self._clock.monotonic() * MICROS)
        for each in held:
            if not each.local:
                for bound in each.bounds:
                    self._local.note(bound.key, now, now)

    def give_back(self, held: list[Held]) -> None:
        """Give back what will not be used, in the background: the caller may be cancelled and has to end."""
        if held:
            started(self._return(tuple(held)), self._returns)
            held.clear()

    async def close(self) -> None:
        """Wait until all slots on their way back are given back."""
        await self._pipe.settled()
        await asyncio.gather(*self._returns, return_exceptions=True)

    # -- how -------------------------------------------------------------------------------------------------

    async def _round(
        self, wanted: Sequence[tuple[Bound, ...]], held: list[Held], due: float, latest: float | None
    ) -> Refusal | None:
        """Ask for all bounds in one round trip; returns the refusal farthest in the future, if any."""
        asked = [self._ask(bounds, held, due, latest) for bounds in wanted]
        refusal: Refusal | None = None
        try:
            while asked:
                taken = await self._answer(asked[0], due, latest)
                first = asked.pop(0)
                if first.mine is not None:
                    held.remove(first.mine)
                if isinstance(taken, Held):
                    held.append(taken)
                elif refusal is None or taken.due > refusal.due:
                    refusal = taken
        except BaseException:
            # Nobody is left to use what Redis grants meanwhile.
            for each in asked:
                self._abandon(each)
            raise
        return refusal

    def _ask(self, bounds: tuple[Bound, ...], held: Sequence[Held], due: float, latest: float | None) -> _Asked:
        mine = next((each for each in held if each.bounds == bounds), None)
        now = self._clock.monotonic()
        if self._is_away():
            return _Asked(bounds, mine, now, None)
        slot = mine.slot if mine is not None and not mine.local else 0
        keys: list[str] = []
        args: list[int] = [*self._from_now(due, latest), slot, grace(bounds), self._local.horizon]
        for bound in bounds:
            keys += (bound.key, bound.pause)
            args += bound.numbers
        return _Asked(bounds, mine, now, self._pipe.submit(_RESERVE, keys, args, partial(self._unclaimed, bounds)))

    async def _answer(self, asked: _Asked, due: float, latest: float | None) -> Held | Refusal:
        bounds = asked.bounds
        if asked.reply is not None:
            try:
                slot, redis_now, blamed, *pauses = await asked.reply
            except StoreUnavailable as error:
                self._rest(error)
            else:
                now = self._clock.monotonic()
                self._redis_clock.heard(redis_now, asked.at, now)
                if self._alone_since is not None:
                    started(self._catch_up(self._local.since(int(self._alone_since * MICROS))), self._returns)
                    self._alone_since = None
                for bound, paused in zip(bounds, pauses, strict=False):  # the reply names none if none is paused
                    if paused > redis_now:
                        until = int(self._redis_clock.here(paused) * MICROS)
                        self._local.pause(bound.pause, until, int(now * MICROS))
                at = max(now, self._redis_clock.here(slot))
                return Refusal(bounds[blamed - 1], at) if blamed else Held(bounds, slot, at, local=False)
        return self._locally(bounds, asked.mine, due, latest)

    def _locally(
        self, bounds: tuple[Bound, ...], mine: Held | None, due: float, latest: float | None
    ) -> Held | Refusal:
        wait, patience = self._from_now(due, latest)
        now = self._clock.monotonic()
        micros = int(now * MICROS)
        slot, blamed = self._local.reserve(
            bounds,
            micros,
            wait=wait,
            latest=None if patience < 0 else patience,
            held=mine.slot if mine is not None and mine.local else 0,
            grace=grace(bounds),
            parties=max(1, self._nodes()),
        )
        at = now + max(0.0, (slot - micros) / MICROS)
        return Held(bounds, slot, at, local=True) if blamed is None else Refusal(bounds[blamed], at)

    def _from_now(self, due: float, latest: float | None) -> tuple[int, int]:
        """Earliest and latest for scripts: microseconds from now; -1 for any."""
        now = self._clock.monotonic()
        return max(0, int((due - now) * MICROS)), -1 if latest is None else max(0, int((latest - now) * MICROS))

    async def _return(self, held: Sequence[Held]) -> None:
        for each in held:
            if each.local:
                self._local.give_back(each.bounds, each.slot)
            elif not self._is_away():
                try:
                    await self._pipe.run(_GIVE_BACK, [bound.key for bound in each.bounds], [each.slot])
                except StoreUnavailable as error:
                    self._rest(error)

    async def _catch_up(self, granted: Mapping[str, Sequence[int]]) -> None:
        """Tell Redis, which is back, what this node granted by itself: it still counts in Feishu's minute."""
        told = [
            self._pipe.submit(_CATCH_UP, [key], [self._local.horizon // 1000, *map(self._redis_clock.there, slots)])
            for key, slots in granted.items()
        ]
        await asyncio.gather(*told, return_exceptions=True)

    def _abandon(self, asked: _Asked) -> None:
        """Give up on a reply."""
        reply = asked.reply
        # If it still comes, `_unclaimed` gets it.
        if reply is not None and not reply.cancel() and not reply.cancelled() and reply.exception() is None:
            self._unclaimed(asked.bounds, reply.result())

    def _unclaimed(self, bounds: tuple[Bound, ...], reply: Any) -> None:
        slot, _, blamed, *_ = reply
        if not blamed:
            self.give_back([Held(bounds, slot, 0.0, local=False)])

    def _is_away(self) -> bool:
        return self._clock.monotonic() < self._away_until

    def _rest(self, error: StoreUnavailable) -> None:
        if not self._is_away():
            log.warning("send limits are kept by this node alone while Redis is away", reason=str(error))
        self._away_until = self._clock.monotonic() + _REST
        if self._alone_since is None:
            self._alone_since = self._clock.monotonic()


def grace(bounds: Sequence[Bound]) -> int:
    """How late (µs) a slot given under all of these may be used."""
    return min(bound.grace for bound in bounds)
