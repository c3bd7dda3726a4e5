"""When Redis' times come on this process' clock, however late Redis' answers are."""

from __future__ import annotations

import math
from typing import Final

MICROS: Final = 1_000_000


class RedisClock:
    """Knows how far Redis' clock (microseconds since the epoch) is ahead of the monotonic one here (seconds).

    Redis read its clock at some time between the asking and the answer, which may be late: a sync of the disk, a busy
    loop. What earlier answers said narrows that down; a clock that was set, or another Redis, is believed at once.
    """

    def __init__(self) -> None:
        self._ahead = -math.inf

    def heard(self, there: int, asked: float, answered: float) -> None:
        """Redis read `there` between these two."""
        self._ahead = min(max(self._ahead, there - answered * MICROS), there - asked * MICROS)

    def there(self, here: int) -> int:
        """What Redis' clock shows then, of a time here in microseconds."""
        return round(here + self._ahead)

    def here(self, there: int) -> float:
        """When that time comes here; something must have been heard."""
        return (there - self._ahead) / MICROS
