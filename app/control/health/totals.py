"""What a node has counted since its start, as far as alerts are about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from app.gateway.counts import Counts

_FAILED: Final = frozenset({"failed", "timed_out", "died"})
# Outcomes that say nothing about the bot: the attempt is made again, elsewhere or later.
_NO_ATTEMPT: Final = frozenset({"fenced", "store_away", "put_back"})


class Slot(NamedTuple):
    """One number; `upto` is the upper bound of a histogram's bucket."""

    figure: str
    bot: str = ""
    upto: float = 0.0


Totals = Mapping[Slot, float]


def of_gateway(counts: Counts) -> dict[Slot, float]:
    """What the node's own process counted."""
    totals: defaultdict[Slot, float] = defaultdict(float)
    totals[Slot("requests")] = counts.requests
    for (bot, code, _), count in counts.refused.items():
        if bot and code == "unavailable":
            totals[Slot("handled", bot)] += count
            totals[Slot("errors", bot)] += count
    spans = counts.accept_seconds
    for bound, count in zip((*spans.bounds, float("inf")), spans.counts, strict=True):
        totals[Slot("accept", "", bound)] = count
    return totals


def slots_of(key: bytes) -> tuple[Slot, ...]:
    """Which numbers a counted entry adds to, by its key."""
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
