"""When each event was sent, answered and handled: a file of doubles that generator and handler share."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

_WIDTH: Final = 8


class Marks:
    """Three monotonic instants an event (seconds, the same clock in every process), 0 while not yet."""

    def __init__(self, path: Path, count: int = 0) -> None:
        """`count` makes the file anew; without it the file is there."""
        if count:
            path.write_bytes(bytes(3 * count * _WIDTH))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.count = len(self._map) // (3 * _WIDTH)
        cells = memoryview(self._map).cast("d")
        self.sent = cells[: self.count]
        self.answered = cells[self.count : 2 * self.count]
        self.handled = cells[2 * self.count :]

    def clear(self) -> None:
        """Forget everything."""
        self._map[:] = bytes(len(self._map))

    def accept_ms(self, first: int = 0, last: int | None = None) -> list[float]:
        """From sent to answered, of the events first … last."""
        return _spans(self.sent, self.answered, first, last)

    def handle_ms(self, first: int = 0, last: int | None = None) -> list[float]:
        """From sent until the handler was called: what is not handled has no span."""
        return _spans(self.sent, self.handled, first, last)

    def unhandled(self) -> int:
        """How many were answered and are not handled."""
        return sum(1 for done, handled in zip(self.answered, self.handled, strict=True) if done and not handled)


def _spans(begun: memoryview[float], ended: memoryview[float], first: int, last: int | None) -> list[float]:
    pairs = zip(begun[first:last], ended[first:last], strict=True)
    return [(end - begin) * 1000 for begin, end in pairs if begin and end]
