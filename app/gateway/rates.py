"""A bot's `events_per_second`: decided at once by what the gateways last knew of each other, and corrected later."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import Unavailable
from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.model.bot import BotSpec

_RATE: Final = Script(Path(__file__).parent / "rate.lua")
# Seconds after which what was heard of the others is out of date.
_OLD: Final = 2.0


@dataclass(slots=True)
class _Meter:
    """What one gateway knows of one bot's rate."""

    rate: float
    room: float
    """How many events may come in before the others are heard again."""
    heard: float
    used: int = 0
    tried: int = 0
    """Events let in, and events that came, since the others were told."""
    gateways: int = 1
    next_free: float = 0.0
    """When the next event may come, while the others cannot be heard."""

    @property
    def most(self) -> float:
        """What may come at once: a second's worth."""
        return max(1.0, self.rate)


class Rates:
    """Bounds each bot's events a second, over all gateways while they can tell each other.

    They share one bucket for each bot, in Redis, which each debits afterwards: for a moment more may come in than it
    holds, and then less does, so that the rate holds over any few seconds.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK, chance: random.Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or random.Random()
        self._meters: dict[str, _Meter] = {}
        self._alone = False

    def check(self, spec: BotSpec) -> None:
        """Count a proved event; raise Unavailable if there are too many."""
        rate = spec.config.events_per_second
        if rate is None:
            return
        now = self._clock.monotonic()
        meter = self._meters.get(spec.id)
        if meter is None or meter.rate != rate:
            meter = self._meters[spec.id] = _Meter(rate, max(1.0, rate), now)
        meter.tried += 1
        if self._alone:
            self._check_alone(meter, now)
            return
        if now - meter.heard > _OLD:
            # None has come for long: the bucket has filled up, and will soon be asked about this event.
            meter.room, meter.heard = meter.most, now
        if meter.room < 1:
            raise _too_many()
        meter.room -= 1
        meter.used += 1

    def go_alone(self) -> None:
        """Keep to this gateway's part of the rates, since the others cannot be heard."""
        self._alone = True
        for meter in self._meters.values():
            meter.used = meter.tried = 0  # nothing corrects for what came in meanwhile

    async def share(self, pipe: Pipeliner, keys: Keys, gateway: str) -> None:
        """Tell what came and learn what is left; does nothing if nothing came. Raises StoreUnavailable."""
        told = [(bot, meter, meter.used, meter.tried) for bot, meter in self._meters.items() if meter.tried]
        for _, meter, used, tried in told:
            meter.used -= used
            meter.tried -= tried
        replies = [
            pipe.submit(_RATE, [keys.rate(bot)], [gateway, meter.rate, used, tried, int(_OLD * 1000)])
            for bot, meter, used, tried in told
        ]
        for (_, meter, _, tried), reply in zip(
            told, await asyncio.gather(*replies, return_exceptions=True), strict=True
        ):
            if isinstance(reply, BaseException):
                raise reply
            level, others, gateways = reply
            self._heard(meter, float(level) - meter.used, tried, int(others), int(gateways))
            self._alone = False

    def _heard(self, meter: _Meter, level: float, tried: int, others: int, gateways: int) -> None:
        meter.heard = self._clock.monotonic()
        meter.gateways = gateways
        if level < 1:
            # Also if more came in than there was.
            meter.room = 0.0
        elif level > meter.most / 2:
            meter.room = level
        else:
            # Contended: each gets a part in proportion to what comes there, rounded randomly so that small parts are
            # not lost.
            meter.room = float(int(level * tried / (tried + others) + self._chance.random()))

    def _check_alone(self, meter: _Meter, now: float) -> None:
        rate = meter.rate / meter.gateways
        next_free = max(meter.next_free, now)
        if next_free - now > max(1.0, 1.0 / rate) - 1.0 / rate + 1e-9:
            raise _too_many()
        meter.next_free = next_free + 1.0 / rate


def _too_many() -> Unavailable:
    return Unavailable("the bot gets more events than its events_per_second", retry_after=1.0)
