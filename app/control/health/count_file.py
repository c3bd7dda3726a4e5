"""Reads prometheus_client's files, in which processes count, over and over: positions once, values each time."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The file: how much is used; then entries: a key's length, the padded key, value and time.
_USED: Final = struct.Struct("i")
_HEAD: Final = 8
_LENGTH: Final = struct.Struct("i")
_VALUE: Final = 8
_TIME: Final = 8
# Entries unpacked in one call. Preparing that holds up all threads; this few take a millisecond.
_STRETCH: Final = 500


@dataclass(slots=True)
class _Stretch:
    """Entries in a row."""

    start: int
    values: struct.Struct
    layout: str = "<"
    entries: int = 0


class CountFile:
    """A file's contents; entries are only ever added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kind = path.name.partition("_")[0]
        self.keys: list[bytes] = []
        """For each entry, in order, a JSON list of family, name, labels and help."""
        self._known = _HEAD
        self._stretches: list[_Stretch] = []

    def read(self) -> list[float]:
        """The values of all entries, in the order of `keys`; raises OSError if the file is gone."""
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
        """Find the positions of new entries, as far as one stretch goes."""
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
