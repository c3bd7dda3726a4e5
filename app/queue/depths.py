"""How much lies in the queues of many bots, asked in few round trips."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.core.outage import guard
from app.core.redis import RedisLink
from app.queue.damage import SPARE, left_out
from app.queue.slots import together

_DEPTHS: Final = Script(SPARE, Path(__file__).parent / "depths.lua")

# Bots asked for in one step: everything else in Redis waits meanwhile, for a tenth of a millisecond.
_CHUNK: Final = 100
# Bots whose letters are read in one round trip.
_PAGE: Final = 500
# Fresh letters are counted no further: their content comes with them.
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


_NOTHING: Final = Depth(0, 0)


class Depths:
    """Every call raises StoreUnavailable without Redis."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._outbox = keys.outbox()
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)

    async def read(self, bots: Iterable[str]) -> Mapping[str, Depth]:
        """The depths of these bots; one whose keys are damaged is left out, and named in the log."""
        names = list(bots)
        chunks = list(together(names, str, _CHUNK, cluster=self._link.cluster))
        replies = await asyncio.gather(*map(self._ask, chunks))
        found = dict.fromkeys(names, _NOTHING)
        for chunk, (*said, damaged) in zip(chunks, replies, strict=True):
            for bot in left_out(damaged):
                del found[bot]
            for at in range(0, len(said), 6):
                found[chunk[said[at] - 1]] = _depth(*said[at + 1 : at + 6])
        return found

    def _ask(self, bots: Sequence[str]) -> asyncio.Future[Any]:
        roots = [part for bot in bots for part in (bot, self._keys.root(bot), self._outbox.root(bot))]
        return self._pipe.submit(_DEPTHS, roots[1:2], roots)

    async def fresh(self, bots: Iterable[str], since: float) -> Mapping[str, int]:
        """How many letters died since then (seconds since the epoch), at most 20 a bot, and are still there."""
        names = list(bots)
        found: dict[str, int] = {}
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            pipe = self._link.commands.pipeline(transaction=False)
            for bot in page:
                pipe.xrange(self._keys.bot(bot, "dead"), int(since * 1000), "+", count=MOST_FRESH)
            with guard():
                found |= zip(page, map(len, await pipe.execute()), strict=True)
        return found


def _depth(waiting: bytes, dead: int, kept: bytes, later: int, oldest: bytes) -> Depth:
    to_send = max(0, int(kept) - later)
    return Depth(int(waiting), dead, to_send, float(oldest) / 1000 if to_send and oldest else None)
