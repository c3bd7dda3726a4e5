"""What all processes of a node have counted since its start, of that alone which alerts are about; cheap to read."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from app.control.health.exporter import GatewayNumbers

_FAILED: Final = frozenset({"failed", "timed_out", "died"})
# Attempts that say nothing of the bot: they are made again, elsewhere or later.
_NO_ATTEMPT: Final = frozenset({"fenced", "store_away", "put_back"})

# The files of prometheus_client: how much is used, then entries of a key's length, the key, value and time.
_USED: Final = struct.Struct("i")
_HEAD: Final = 8
_LENGTH: Final = struct.Struct("i")
_VALUE: Final = struct.Struct("d")
_VALUE_AND_TIME: Final = 16


class Slot(NamedTuple):
    """One number; `upto` is the upper bound of a histogram's bucket."""

    figure: str
    bot: str = ""
    upto: float = 0.0


Totals = Mapping[Slot, float]


class CountFiles:
    """The files in which a node's processes count; of each entry the place is remembered, and only its value read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._places: dict[Path, list[tuple[int, tuple[Slot, ...]]]] = {}
        self._known: dict[Path, int] = {}
        """How much of each file has been looked through."""

    def read(self) -> defaultdict[Slot, float]:
        """Everything counted so far, over all processes."""
        totals: defaultdict[Slot, float] = defaultdict(float)
        for path in self._directory.glob("*.db"):
            if not path.name.startswith(("counter_", "histogram_")):
                continue
            try:
                data = self._content(path)
            except OSError:
                continue  # it was swept away meanwhile
            for place, slots in self._places[path]:
                [value] = _VALUE.unpack_from(data, place)
                for slot in slots:
                    totals[slot] += value
        return totals

    def _content(self, path: Path) -> bytes:
        with path.open("rb") as file:
            [used] = _USED.unpack(file.read(_USED.size).ljust(_USED.size, b"\0"))
            file.seek(0)
            data = file.read(used)
        places = self._places.setdefault(path, [])
        at = self._known.get(path, _HEAD)
        while at < len(data):
            [length] = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            slots = _slots(data[at : at + length])
            at += length + 8 - (length + _LENGTH.size) % 8
            if slots:
                places.append((at, slots))
            at += _VALUE_AND_TIME
        self._known[path] = at
        return data


def of_gateway(numbers: GatewayNumbers) -> dict[Slot, float]:
    """What the node's own process counted."""
    totals: defaultdict[Slot, float] = defaultdict(float)
    totals[Slot("requests")] = numbers.requests
    for (bot, code, _), count in numbers.refused.items():
        if bot and code == "unavailable":
            totals[Slot("handled", bot)] += count
            totals[Slot("errors", bot)] += count
    if (spans := numbers.accept_seconds) is not None:
        for bound, count in zip((*spans.bounds, float("inf")), spans.counts, strict=True):
            totals[Slot("accept", "", bound)] = count
    return totals


def _slots(key: bytes) -> tuple[Slot, ...]:
    """Which numbers an entry counts for, by its key."""
    _, name, labels, *_ = orjson.loads(key)
    bot = labels.get("bot", "")
    match name:
        case "hub_events_handled_total" if labels["outcome"] in _FAILED:
            return Slot("handled", bot), Slot("errors", bot)
        case "hub_events_handled_total" if labels["outcome"] not in _NO_ATTEMPT:
            return (Slot("handled", bot),)
        case "hub_send_refusals_total" if labels["bound"] in ("app", "chat"):
            return (Slot("refusals", bot),)
        case "hub_token_fetches_total" if labels["outcome"] == "failed":
            return (Slot("token_failures", bot),)
        case "hub_response_seconds_bucket":
            return (Slot("response", bot, float(labels["le"])),)
    return ()
