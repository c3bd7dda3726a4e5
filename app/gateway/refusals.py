"""Counts refused requests by bot and source address, over all gateways."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Final

from cachetools import TTLCache

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import TooMany
from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.core.wire import Arg

_REFUSED: Final = Script(Path(__file__).parent / "refused.lua")

# Refused requests from one address for one bot in a window; after that many the rest of the window is 429.
MOST: Final = 20
_WINDOW: Final = 60.0
# Addresses watched at once, for one bot in Redis and for all bots here. An attacker with more can only make the
# gateways forget refusals.
_WATCHED: Final = 10_000
# Addresses told to the others at once; the rest follows.
_TOLD: Final = 500


class Refusals:
    """The counts; asked only after a request has failed, so that a proved one is never refused for what others did."""

    def __init__(self, *, most: int = MOST, clock: Clock = SYSTEM_CLOCK) -> None:
        self._most = most
        self._counts: TTLCache[tuple[str, str], int] = TTLCache(_WATCHED, _WINDOW, timer=clock.monotonic)
        self._untold: defaultdict[str, dict[str, int]] = defaultdict(dict)

    def note(self, bot: str, source: str) -> None:
        """Count one; raise TooMany if its source has had too many."""
        count = self._counts.get((bot, source), 0) + 1
        if count > self._most:
            # Beyond the bound neither renewed nor told: writing would restart the window.
            raise TooMany("too many refused requests from this address", retry_after=_WINDOW)
        self._counts[bot, source] = count
        untold = self._untold[bot]
        if source in untold or len(untold) < _WATCHED:
            untold[source] = untold.get(source, 0) + 1

    async def share(self, pipe: Pipeliner, keys: Keys) -> None:
        """Tell the new ones and learn how many all gateways have. Raises StoreUnavailable."""
        for bot in list(self._untold):
            untold = self._untold[bot]
            sources = [(source, untold.pop(source)) for source in list(untold)[:_TOLD]]
            if not untold:
                del self._untold[bot]
            args: list[Arg] = [int(_WINDOW * 1000), _WATCHED]
            for source, count in sources:
                args += (_digest(source), count)
            totals = await pipe.run(_REFUSED, [keys.refused(bot)], args)
            for (source, _), total in zip(sources, totals, strict=True):
                if total > self._counts.get((bot, source), 0):
                    self._counts[bot, source] = min(total, self._most)


def _digest(source: str) -> bytes:
    return hashlib.blake2b(source.encode(), digest_size=8).digest()
