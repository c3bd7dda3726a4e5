"""How much lies in the queues of many bots, asked in few round trips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.core.keys import Keys
from app.core.redis import RedisLink, guard

# Bots asked for in one round trip.
_PAGE: Final = 500
# More fresh letters are not told apart: their content comes with them.
MOST_FRESH: Final = 20


@dataclass(frozen=True, slots=True)
class Depth:
    """Of one bot: events that wait or are being handled, dead letters, and what stands on the outbox."""

    waiting: int
    dead: int
    to_send: int = 0
    """Messages whose time has come, and which are not sent."""
    to_send_since: float | None = None
    """When the oldest of them could have been sent (seconds since the epoch)."""


class Depths:
    """Every call raises StoreUnavailable without Redis."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def read(self, bots: Iterable[str]) -> Mapping[str, Depth]:
        """The depths of these bots."""

        def ask(pipe: Any, bot: str) -> None:
            pipe.get(self._keys.bot(bot, "depth"))
            pipe.xlen(self._keys.bot(bot, "dead"))
            pipe.get(outbox.bot(bot, "depth"))
            pipe.zcard(outbox.bot(bot, "later"))
            pipe.zrange(outbox.bot(bot, "due"), 0, 0, withscores=True)

        outbox = self._keys.outbox()
        return {bot: _depth(*answers) for bot, answers in await self._each(bots, ask, 5)}

    async def fresh(self, bots: Iterable[str], since: float) -> Mapping[str, int]:
        """How many letters died since then (seconds since the epoch), at most 20 a bot, and are still there."""

        def ask(pipe: Any, bot: str) -> None:
            pipe.xrange(self._keys.bot(bot, "dead"), int(since * 1000), "+", count=MOST_FRESH)

        return {bot: len(letters) for bot, (letters,) in await self._each(bots, ask, 1)}

    async def _each(
        self, bots: Iterable[str], ask: Callable[[Any, str], None], answers: int
    ) -> list[tuple[str, tuple[Any, ...]]]:
        """What is answered for each bot, `answers` of them."""
        names = list(bots)
        found: list[tuple[str, tuple[Any, ...]]] = []
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            pipe = self._link.commands.pipeline(transaction=False)
            for bot in page:
                ask(pipe, bot)
            with guard():
                said = await pipe.execute()
            found += [(bot, tuple(said[at * answers : (at + 1) * answers])) for at, bot in enumerate(page)]
        return found


def _depth(waiting: Any, dead: Any, kept: Any, later: Any, oldest: Any) -> Depth:
    to_send = max(0, int(kept or 0) - int(later))
    return Depth(int(waiting or 0), int(dead), to_send, float(oldest[0][1]) / 1000 if to_send and oldest else None)
