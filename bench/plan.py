"""How thorough a run is: seconds, rounds, and where its scratch files are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.events import App, Requests, write_requests
from bench.report import Row


@dataclass(slots=True)
class Plan:
    """What every section is given."""

    scratch: Path
    quick: bool = False
    _files: dict[tuple[int, int, int], Requests] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """How often the variants are taken in turn."""
        return 2 if self.quick else 3

    def pick(self, quick: float, full: float) -> float:
        """One of two lengths."""
        return quick if self.quick else full

    def requests(self, count: int, bots: int, chats: int = 1000) -> Requests:
        """Prepared requests for the bots 0…; made once, since a fresh queue knows none of them."""
        key = (count, bots, chats)
        if key not in self._files:
            path = self.scratch / f"requests-{count}-{bots}-{chats}"
            self._files[key] = write_requests(path, count, apps(bots), chats=chats)
        return self._files[key]


def apps(count: int) -> list[App]:
    """The apps of a section."""
    return [App(number) for number in range(count)]


Section = Callable[[Plan], list[Row]]
