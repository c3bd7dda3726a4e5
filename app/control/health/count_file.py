"""Files of prometheus_client's in which processes count, read over and over: places once, values each time."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# How much is used, then entries of a key's length, the key with its padding, value and time.
_USED: Final = struct.Struct("i")
_HEAD: Final = 8
_LENGTH: Final = struct.Struct("i")
_VALUE: Final = 8
_TIME: Final = 8
# Entries whose values are taken by one call. To make ready for that holds every thread: so few take a millisecond.
_STRETCH: Final = 500


@dataclass(slots=True)
class _Stretch:
    """Entries that stand one after the other."""

    start: int
    values: struct.Struct
    layout: str = "<"
    entries: int = 0


class CountFile:
    """What stands in it; entries are only ever added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kind = path.name.partition("_")[0]
        self.keys: list[bytes] = []
        """Of each entry, in order: a JSON list of family, name, labels and help."""
        self._known = _HEAD
        self._stretches: list[_Stretch] = []

    def read(self) -> list[float]:
        """The values of all entries, in the order of `keys`; raises OSError where the file is gone."""
        with self._path.open("rb") as file:
            [used] = _USED.unpack(file.read(_USED.size).ljust(_USED.size, b"\0"))
            file.seek(0)
            data = file.read(used)
        while self._known < len(data):
            self._look(data)
        found: list[float] = []
        for stretch in self._stretches:
            found += stretch.values.unpack_from(data, stretch.start)
        return found

    def _look(self, data: bytes) -> None:
        """Find the places of what is new, as far as one stretch goes."""
        if not self._stretches or self._stretches[-1].entries == _STRETCH:
            self._stretches.append(_Stretch(self._known, struct.Struct("<")))
        stretch = self._stretches[-1]
        parts = [stretch.layout]
        at = self._known
        while at < len(data) and stretch.entries < _STRETCH:
            [length] = _LENGTH.unpack_from(data, at)
            key = at + _LENGTH.size
            self.keys.append(data[key : key + length])
            value = key + length + 8 - (length + _LENGTH.size) % 8
            parts.append(f"{value - at}xd{_TIME}x")
            at = value + _VALUE + _TIME
            stretch.entries += 1
        stretch.layout = "".join(parts)
        stretch.values = struct.Struct(stretch.layout)
        self._known = at
