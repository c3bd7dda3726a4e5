"""Translates between Redis' clock and this process's, however late Redis' answers are."""

from __future__ import annotations

import math
from typing import Final

MICROS: Final = 1_000_000


class RedisClock:
    """Knows how far Redis' clock (microseconds since the epoch) is ahead of the monotonic one here (seconds).

    Redis read its clock at some time between request and answer, and the answer may be late (a disk sync, a busy loop).
    Earlier answers narrow that down; a clock that was set, or another Redis, is believed at once.
    """

    def __init__(self) -> None:
        self._ahead = -math.inf

    def heard(self, there: int, asked: float, answered: float) -> None:
        """Redis read `there` between these two."""
        self._ahead = min(max(self._ahead, there - answered * MICROS), there - asked * MICROS)

    def there(self, here: int) -> int:
        """What Redis' clock shows at a time here, in microseconds."""
        return round(here + self._ahead)

    def here(self, there: int) -> float:
        """The time here when Redis' clock shows that; needs an answer heard before."""
        return (there - self._ahead) / MICROS
