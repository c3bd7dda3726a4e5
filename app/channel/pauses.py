"""Pauses that Feishu asked for: kept on every node, and known to calls that wait already."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from app.channel.limits import Bound
from app.channel.redis_clock import MICROS
from app.channel.windows import LocalWindows
from app.core.clock import Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.core.lua import Script
from app.core.pubsub import listen
from app.core.redis import RedisLink

_PAUSE: Final = Script(Path(__file__).parent / "pause.lua")

log = get_logger(__name__)


class Pauses:
    """Begins pauses, and hears of those that other nodes begin; `windows` remembers them."""

    def __init__(self, link: RedisLink, channel: str, windows: LocalWindows, clock: Clock) -> None:
        """`channel` is where they are published."""
        self._link = link
        self._channel = channel
        self._windows = windows
        self._clock = clock
        self._told_since = math.inf

    async def hear(self) -> None:
        """Hear of pauses as they begin, until cancelled; without this every call that has waited asks again."""
        await listen(self._link, self._channel, self._heard, clock=self._clock)

    def known_since(self, asked: float) -> bool:
        """Whether all pauses that began after this time (monotonic) are known."""
        return asked >= self._told_since

    def over(self, bounds: Iterable[Bound], due: float) -> bool:
        """Whether no known pause covers these bounds at that time (monotonic)."""
        return all(self._windows.paused(bound.pause) <= due * MICROS for bound in bounds)

    async def begin(
        self, bound: Bound, asked: float, *, first: float, longest: float, slot: int, chance: float
    ) -> float:
        """Give no slot of `bound` on any node for `asked` seconds; returns how long it is.

        For 0 that is `first` to `longest` seconds, doubling with each refusal. Calls whose slot (µs) was before the
        last refusal count with it. `chance` (0 to 1) adds up to a tenth.
        """
        args = [int(span * MICROS) for span in (asked, first, longest)]
        factor = 1 + chance / 10
        try:
            micros: int = await _PAUSE(
                self._link.commands, [bound.pause], [*args, slot, f"{factor:.3f}", self._channel]
            )
        except StoreUnavailable as error:
            log.warning("other nodes could not be told of a pause", bound=bound.label, reason=str(error))
            micros = int((asked or first) * factor * MICROS)
        self._note(bound.pause, micros)
        return micros / MICROS

    def _heard(self, message: bytes | None) -> None:
        if message is None:
            self._told_since = self._clock.monotonic()
            return
        left, _, pause = message.decode().partition(" ")
        self._note(pause, int(left))

    def _note(self, pause: str, left: int) -> None:
        now = int(self._clock.monotonic() * MICROS)
        self._windows.pause(pause, now + left, now)
