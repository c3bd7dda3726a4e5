"""How much goes through each bot, over all nodes: by the logs in Redis, which count every entry ever added."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.core.redis import RedisLink

_TRAFFIC: Final = Script(Path(__file__).parent / "traffic.lua")

STEP: Final = 10.0
"""Seconds between two samples."""
_KEPT: Final = 361  # an hour and the sample before it
_RATE_OVER: Final = 6  # samples: a minute
_AT_ONCE: Final = 25  # bots in a round trip: their answers hold the loop for a few milliseconds


@dataclass(frozen=True, slots=True)
class BotTraffic:
    """What is known of one bot's traffic."""

    per_minute: float = 0.0
    """Messages in and out."""
    last: float | None = None
    """When the last message came or went, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Chart:
    """The last hour: moments (seconds since the epoch), and messages a minute and dead letters a minute at each."""

    moments: tuple[float, ...] = ()
    messages: tuple[float, ...] = ()
    dead: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    messages: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)


class Traffic:
    """Samples the logs of all bots every ten seconds, and remembers an hour of it."""

    def __init__(
        self, link: RedisLink, keys: Keys, bots: Callable[[], Iterable[str]], *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._link = link
        self._keys = keys
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)
        self._bots = bots
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=_KEPT)

    async def run(self) -> None:
        """Sample until cancelled; skips a sample without Redis."""
        while True:
            try:
                await self.sample()
            except StoreUnavailable:
                pass  # the page says that Redis is away
            await self._clock.sleep(STEP)

    async def sample(self) -> None:
        """Read where the logs stand now."""
        bots = tuple(self._bots())
        messages, dead = dict.fromkeys(bots, 0), dict.fromkeys(bots, 0)
        last: dict[str, float] = {}
        size = 1 if self._link.cluster else _AT_ONCE
        chunks = [bots[start : start + size] for start in range(0, len(bots), size)]
        for chunk, said in zip(chunks, await asyncio.gather(*map(self._ask, chunks)), strict=True):
            for at in range(0, len(said), 4):
                number, added, newest, letters = said[at : at + 4]
                bot = chunk[number - 1]
                messages[bot], dead[bot] = added, letters
                if moment := int(newest.partition(b"-")[0] or 0):
                    last[bot] = moment / 1000
        self._samples.append(_Sample(self._clock.now(), messages, dead, last))

    def _ask(self, bots: Sequence[str]) -> asyncio.Future[Any]:
        names = [self._keys.bot(bot, part) for bot in bots for part in ("log", "dead")]
        return self._pipe.submit(_TRAFFIC, names[:1], names)

    def of(self, bot: str) -> BotTraffic:
        """One bot's traffic, by the last minute's samples."""
        if not self._samples:
            return BotTraffic()
        now = self._samples[-1]
        before = self._samples[max(0, len(self._samples) - 1 - _RATE_OVER)]
        span = now.at - before.at
        rate = _gain(now.messages, before.messages, bot) * 60 / span if span > 0 else 0.0
        return BotTraffic(rate, now.last.get(bot))

    def chart(self) -> Chart:
        """The last hour of all bots together."""
        samples = tuple(self._samples)
        moments, messages, dead = [], [], []
        for before, now in pairwise(samples):
            minutes = (now.at - before.at) / 60
            if minutes <= 0:
                continue
            moments.append(now.at)
            messages.append(sum(_gain(now.messages, before.messages, bot) for bot in now.messages) / minutes)
            dead.append(sum(_gain(now.dead, before.dead, bot) for bot in now.dead) / minutes)
        return Chart(tuple(moments), tuple(messages), tuple(dead))


def _gain(now: Mapping[str, int], before: Mapping[str, int], bot: str) -> int:
    # A new bot, or one whose log was emptied with its key, began at zero.
    return max(0, now.get(bot, 0) - before.get(bot, now.get(bot, 0)))
