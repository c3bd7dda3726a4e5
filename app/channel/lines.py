"""Lines in which callers take turns, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from itertools import islice
from typing import Final

_FRONT: Final = None


class Lines:
    """Lines by key; empty ones are forgotten."""

    def __init__(self) -> None:
        # The first in each has its turn; the others' futures say when theirs comes, and whether they lead.
        self._lines: dict[Hashable, deque[asyncio.Future[bool] | None]] = {}

    def length(self, key: Hashable) -> int:
        """How many wait in a line."""
        return len(self._lines.get(key, ()))

    def join(self, key: Hashable) -> asyncio.Future[bool] | None:
        """Join the end.

        The future is done when the turn comes, with False if another that has it too let this one in; None if it is
        there already.
        """
        line = self._lines.get(key)
        if line is None:
            self._lines[key] = deque([_FRONT])
            return None
        place = asyncio.get_running_loop().create_future()
        line.append(place)
        return place

    def leave(self, key: Hashable, place: asyncio.Future[bool] | None) -> None:
        """Leave, after the turn or giving up; if the first left, it is the next one's turn."""
        line = self._lines[key]
        first = line[0] is place
        line.remove(place)
        if not line:
            del self._lines[key]
        elif first and (following := line[0]) is not None and not following.done():
            following.set_result(True)

    def let_in(self, key: Hashable, count: int) -> None:
        """Give the first `count` their turn together."""
        for place in islice(self._lines[key], count):
            if place is not None and not place.done():
                place.set_result(False)
