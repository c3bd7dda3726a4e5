"""What all processes of a node have counted since its start, of that alone which alerts are about; cheap to read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from app.control.health.count_file import CountDirectory, CountFile
from app.control.health.exporter import GatewayNumbers

_FAILED: Final = frozenset({"failed", "timed_out", "died"})
# Attempts that say nothing of the bot: they are made again, elsewhere or later.
_NO_ATTEMPT: Final = frozenset({"fenced", "store_away", "put_back"})


class Slot(NamedTuple):
    """One number; `upto` is the upper bound of a histogram's bucket."""

    figure: str
    bot: str = ""
    upto: float = 0.0


Totals = Mapping[Slot, float]


class CountFiles:
    """The files in which a node's processes count."""

    def __init__(self, directory: Path) -> None:
        self._files = CountDirectory(directory)
        self._slots: dict[CountFile, list[tuple[int, tuple[Slot, ...]]]] = {}
        """Of each file the entries that matter, and what they count for."""
        self._known: dict[CountFile, int] = {}
        """How many entries of each file have been looked at."""

    def read(self) -> defaultdict[Slot, float]:
        """Everything counted so far, over all processes."""
        totals: defaultdict[Slot, float] = defaultdict(float)
        for file, values in self._files.read():
            wanted = self._slots.setdefault(file, [])
            known = self._known.get(file, 0)
            for entry, key in enumerate(file.keys[known:], known):
                if slots := _slots(key):
                    wanted.append((entry, slots))
            self._known[file] = len(file.keys)
            for entry, slots in wanted:
                for slot in slots:
                    totals[slot] += values[entry]
        return totals


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
