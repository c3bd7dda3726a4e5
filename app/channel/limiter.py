"""The distributed rate limiter: a call waits here for its send slot, in Feishu's limits over all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from app.channel.limits import Bound, Limits, bounds_of
from app.channel.windows import LocalWindows
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import SlotTimeout, StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Pipeliner, Script
from app.core.redis import RedisLink, guard
from app.model.bot import BotSpec

_HERE = Path(__file__).parent
_RESERVE = Script(_HERE / "reserve.lua")
_PAUSE = Script(_HERE / "pause.lua")

# Redis that did not answer is left alone for so long (s): else every send would wait for its time-out.
_REST: Final = 1.0
# Bounds that push each other later agree after two or three rounds; more would mean a bound of no headroom.
_MAX_ROUNDS: Final = 8
_MICROS: Final = 1_000_000

log = get_logger(__name__)

OnWait = Callable[[float], None]
"""Told before each wait how many seconds it will take, so that a handler's timeout can be put off by them."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A send slot whose time has come."""

    waited: float
    """Seconds that passed between asking and having it."""
    at: float
    """When it is, in seconds since the epoch as Redis (or, while it is away, this node) has it."""


@dataclass(slots=True)
class _Held:
    """A slot under one bound, held until the call is made."""

    bound: Bound
    slot: int
    due: float
    """When it is, on this node's monotonic clock."""
    local: bool


class Limiter:
    """Gives slots: first under the chat's (user's, message's) bound, from there on under the app's.

    Each bound is one script on one key, which reserves from the time that the one before gave; where the
    second gives a later time, the first exchanges its own for that. What is not used is given back.
    """

    def __init__(self, link: RedisLink, keys: Keys, limits: Limits, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = link
        self._keys = keys
        self._limits = limits
        self._clock = clock
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)
        self._local = LocalWindows(limits.horizon)
        self._away_until = 0.0
        # Who asked last for each chat, user or message, and has not left yet.
        self._last: dict[str, asyncio.Event] = {}
        self._returns: set[asyncio.Task[None]] = set()
        self.waiting = 0
        """Calls that wait for a slot now."""

    async def slot(
        self,
        spec: BotSpec,
        api: str,
        *,
        chat: str = "",
        user: str = "",
        message: str = "",
        deadline: float | None = None,
        on_wait: OnWait | None = None,
    ) -> Slot:
        """Wait for a slot; callers of one chat leave in the order in which they asked.

        `deadline` is in seconds since the epoch; SlotTimeout is raised at once when the slot would be later.
        """
        bounds = bounds_of(self._keys, self._limits, spec, api, chat=chat, user=user, message=message)
        asked = self._clock.monotonic()
        latest = None if deadline is None else asked + deadline - self._clock.now()
        self.waiting += 1
        try:
            if len(bounds) == 1:
                held = await self._wait(bounds, latest, on_wait, None)
            else:
                held = await self._in_line(bounds, latest, on_wait)
        finally:
            self.waiting -= 1
        now = self._clock.monotonic()
        for each in held:
            if not each.local:
                self._local.note(each.bound.key, int(now * _MICROS), int(now * _MICROS))
        return Slot(waited=now - asked, at=max(each.slot for each in held) / _MICROS)

    async def pause(
        self,
        spec: BotSpec,
        api: str,
        seconds: float,
        *,
        bound: Literal["app", "chat"],
        chat: str = "",
        user: str = "",
        message: str = "",
    ) -> None:
        """Obey Feishu's own word, on every node: no slot of that app and API, or chat, for `seconds`."""
        bounds = bounds_of(self._keys, self._limits, spec, api, chat=chat, user=user, message=message)
        key = bounds[-1 if bound == "app" else 0].key
        now = int(self._clock.monotonic() * _MICROS)
        self._local.pause(key, now + int(seconds * _MICROS), now)
        if not self._is_away():
            try:
                await self._pipe.run(_PAUSE, [self._keys.limit_pause(key)], [int(seconds * _MICROS)])
            except StoreUnavailable as error:
                self._rest(error)

    async def close(self) -> None:
        """Wait until what is on its way back has been given back."""
        await asyncio.gather(*self._returns, return_exceptions=True)

    async def _in_line(self, bounds: Sequence[Bound], latest: float | None, on_wait: OnWait | None) -> list[_Held]:
        key = bounds[0].key
        before = self._last.get(key)
        left = self._last[key] = asyncio.Event()
        try:
            return await self._wait(bounds, latest, on_wait, before)
        finally:
            left.set()
            if self._last.get(key) is left:
                del self._last[key]

    async def _wait(
        self,
        bounds: Sequence[Bound],
        latest: float | None,
        on_wait: OnWait | None,
        before: asyncio.Event | None,
    ) -> list[_Held]:
        held: list[_Held] = []
        try:
            await self._reserve(bounds, held, self._clock.monotonic(), latest)
            while True:
                start = self._clock.monotonic()
                wait = max(each.due for each in held) - start
                if wait <= 0 and (before is None or before.is_set()):
                    return held
                if wait > 0:
                    _tell(on_wait, wait)
                    await self._clock.sleep(wait)
                if before is not None and not before.is_set():
                    await self._follow(before, bounds[0], latest)
                    _tell(on_wait, self._clock.monotonic() - start - max(0.0, wait))
                # Feishu may have asked for a pause meanwhile, or the loop may have been held up.
                await self._reserve(bounds, held, self._clock.monotonic(), latest)
        except BaseException:
            # Also a cancelled call gives back, but must not be kept from ending.
            if held:
                task = asyncio.create_task(self._give_back(held))
                self._returns.add(task)
                task.add_done_callback(self._returns.discard)
            raise

    async def _reserve(self, bounds: Sequence[Bound], held: list[_Held], due: float, latest: float | None) -> None:
        """Have slots under all bounds at one time, not before `due`; `held` always says what is held."""
        grace = min(bound.grace for bound in bounds) / _MICROS
        for turn in range(_MAX_ROUNDS):
            for bound in bounds:
                mine = next((each for each in held if each.bound is bound), None)
                if turn > 0 and mine is not None and due - mine.due <= grace:
                    continue
                try:
                    taken = await self._take(bound, mine, due, latest)
                except SlotTimeout:
                    # What was held went with the slot that would be too late.
                    held[:] = [each for each in held if each is not mine]
                    raise
                held[:] = [*(each for each in held if each is not mine), taken]
                due = max(due, taken.due)
            if all(due - each.due <= grace for each in held):
                return

    async def _follow(self, before: asyncio.Event, bound: Bound, latest: float | None) -> None:
        """Let the caller before leave first."""
        patience = None if latest is None else max(0.0, latest - self._clock.monotonic())
        try:
            async with asyncio.timeout(patience):
                await before.wait()
        except TimeoutError:
            raise _too_late(bound, 0.0) from None

    async def _take(self, bound: Bound, mine: _Held | None, due: float, latest: float | None) -> _Held:
        now = self._clock.monotonic()
        wait = max(0, int((due - now) * _MICROS))
        patience = None if latest is None else max(0, int((latest - now) * _MICROS))
        if not self._is_away():
            slot = mine.slot if mine is not None and not mine.local else 0
            try:
                found, redis_now, granted = await self._pipe.run(
                    _RESERVE,
                    [bound.key, self._keys.limit_pause(bound.key)],
                    [
                        wait,
                        -1 if patience is None else patience,
                        slot,
                        bound.grace,
                        self._limits.horizon,
                        *(number for window in bound.windows for number in (window.count, window.span)),
                    ],
                )
            except StoreUnavailable as error:
                self._rest(error)
            else:
                ahead = (found - redis_now) / _MICROS
                if not granted:
                    raise _too_late(bound, ahead)
                return _Held(bound, found, self._clock.monotonic() + max(0.0, ahead), local=False)
        now = self._clock.monotonic()
        micros = int(now * _MICROS)
        found, granted = self._local.reserve(
            bound.key,
            micros,
            wait=wait,
            windows=bound.windows,
            latest=patience,
            held=mine.slot if mine is not None and mine.local else 0,
            grace=bound.grace,
        )
        ahead = (found - micros) / _MICROS
        if not granted:
            raise _too_late(bound, ahead)
        return _Held(bound, found, now + max(0.0, ahead), local=True)

    async def _give_back(self, held: Sequence[_Held]) -> None:
        for each in held:
            if each.local:
                self._local.give_back(each.bound.key, each.slot)
            elif not self._is_away():
                try:
                    with guard():
                        await self._link.commands.zrem(each.bound.key, str(each.slot))
                except StoreUnavailable as error:
                    self._rest(error)

    def _is_away(self) -> bool:
        return self._clock.monotonic() < self._away_until

    def _rest(self, error: StoreUnavailable) -> None:
        if not self._is_away():
            log.warning("send limits are kept by this node alone while Redis is away", reason=str(error))
        self._away_until = self._clock.monotonic() + _REST


def _tell(on_wait: OnWait | None, seconds: float) -> None:
    if on_wait is not None and seconds > 0:
        on_wait(seconds)


def _too_late(bound: Bound, ahead: float) -> SlotTimeout:
    error = SlotTimeout(
        f"no send slot before the deadline: the next one under {bound.key} is {ahead:.1f} s away; "
        "send less to this chat or by this app, or give the handler more time",
        retry_after=max(0.0, ahead),
    )
    error.whole_app = bound.whole_app
    return error
