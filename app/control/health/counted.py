"""Adds up what all processes of a node have counted; read over and over, so it looks at each entry's key once."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Final, Generic, TypeVar

from app.control.health.count_file import CountFile

_KINDS: Final = ("counter", "histogram")

K = TypeVar("K", bound=Hashable)


class Counted:
    """The counters and histograms in a node's files (PROMETHEUS_MULTIPROC_DIR); for any number of threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.entries: list[tuple[str, bytes]] = []
        """`counter` or `histogram`, and a JSON list of family, name, labels and help; entries are only ever added."""
        self._numbers: dict[bytes, int] = {}
        self._files: dict[Path, CountFile] = {}
        self._places: dict[CountFile, list[int]] = {}
        """The entry to which each value of a file is added."""
        self._turn = threading.Lock()

    def totals(self) -> list[float]:
        """The sum of each entry over all files."""
        with self._turn:
            totals = [0.0] * len(self.entries)
            for path in sorted(self._directory.glob("*.db")):
                file = self._files.get(path) or CountFile(path)
                if file.kind not in _KINDS:
                    continue
                self._files[path] = file
                try:
                    values = file.read()
                except OSError:
                    continue  # it was removed meanwhile
                places = self._places.setdefault(file, [])
                places += [self._number(file.kind, key) for key in file.keys[len(places) :]]
                totals += [0.0] * (len(self.entries) - len(totals))
                for place, value in zip(places, values, strict=True):
                    totals[place] += value
            return totals

    def others(self) -> list[str]:
        """Files in which bots' code counts in other kinds of metrics."""
        return [str(path) for path in self._directory.glob("*.db") if path.name.partition("_")[0] not in _KINDS]

    def _number(self, kind: str, key: bytes) -> int:
        number = self._numbers.setdefault(key, len(self.entries))
        if number == len(self.entries):
            self.entries.append((kind, key))
        return number


class Sums(Generic[K]):
    """Totals under other names; an entry may count for several of them, or none."""

    def __init__(self, counted: Counted, names_of: Callable[[bytes], Iterable[K]]) -> None:
        """`names_of` is called once for each entry."""
        self._counted = counted
        self._names_of = names_of
        self._wanted: list[tuple[int, tuple[K, ...]]] = []
        self._known = 0

    def read(self) -> defaultdict[K, float]:
        """Everything counted so far."""
        totals = self._counted.totals()
        for entry in range(self._known, len(totals)):
            if names := tuple(self._names_of(self._counted.entries[entry][1])):
                self._wanted.append((entry, names))
        self._known = len(totals)
        found: defaultdict[K, float] = defaultdict(float)
        for entry, names in self._wanted:
            for name in names:
                found[name] += totals[entry]
        return found
