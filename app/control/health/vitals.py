"""A node's numbers of the last minute: what it says of itself in its heartbeat, for the alerts of the cluster."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client.metrics_core import Metric

_FAILED: Final = frozenset({"failed", "timed_out", "died"})
# Attempts that say nothing of the bot: they are made again, elsewhere or later.
_NO_ATTEMPT: Final = frozenset({"fenced", "store_away", "put_back"})

Buckets = dict[float, float]


@dataclass(slots=True)
class Totals:
    """Counts since the node's start, over all of its processes."""

    requests: float = 0.0
    handled: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    errors: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    refusals: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    token_failures: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    accept: Buckets = field(default_factory=lambda: defaultdict(float))
    response: dict[str, Buckets] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))

    @classmethod
    def of(cls, families: Iterable[Metric]) -> Totals:
        """Read off the metrics page's own numbers."""
        totals = cls()
        for family in families:
            for sample in family.samples:
                totals._add(sample.name, sample.labels, sample.value)
        return totals

    def _add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        bot = labels.get("bot", "")
        match name:
            case "hub_requests_total":
                self.requests += value
            case "hub_events_handled_total" if labels["outcome"] not in _NO_ATTEMPT:
                self.handled[bot] += value
                self.errors[bot] += value if labels["outcome"] in _FAILED else 0.0
            case "hub_requests_refused_total" if bot and labels["code"] == "unavailable":
                self.handled[bot] += value
                self.errors[bot] += value
            case "hub_send_refusals_total" if labels["bound"] in ("app", "chat"):
                self.refusals[bot] += value
            case "hub_token_fetches_total" if labels["outcome"] == "failed":
                self.token_failures[bot] += value
            case "hub_accept_seconds_bucket":
                self.accept[float(labels["le"])] += value
            case "hub_response_seconds_bucket":
                self.response[bot][float(labels["le"])] += value


class Vitals:
    """Keeps the totals of one window and says what they came to, so that who evaluates needs no memory of its own."""

    def __init__(self, window: float) -> None:
        """`window` in seconds."""
        self._window = window
        self._taken: deque[tuple[float, Totals]] = deque()

    def take(self, now: float, totals: Totals) -> Mapping[str, Any]:
        """Numbers of the window that ends now (monotonic seconds), by the minute; bots without any are left out."""
        taken = self._taken
        taken.append((now, totals))
        while len(taken) > 1 and taken[1][0] <= now - self._window:
            taken.popleft()
        since, before = taken[0]
        if now - since < self._window:
            before, since = Totals(), now - self._window  # the node is younger than the window
        minute = 60.0 / (now - since)
        bots: dict[str, dict[str, float]] = defaultdict(dict)
        for figure in ("handled", "errors", "refusals", "token_failures"):
            counts, earlier = getattr(totals, figure), getattr(before, figure)
            for bot, count in counts.items():
                if grown := count - earlier.get(bot, 0.0):
                    bots[bot][figure] = grown * minute
        for bot, buckets in totals.response.items():
            if (found := quantile(0.95, buckets, before.response.get(bot, {}))) is not None:
                bots[bot]["response"] = found
        return {
            "requests": (totals.requests - before.requests) * minute,
            "latency": quantile(0.95, totals.accept, before.accept) or 0.0,
            "bots": bots,
        }


def quantile(share: float, buckets: Mapping[float, float], before: Mapping[float, float]) -> float | None:
    """The quantile of what came into cumulative buckets since `before`, as Prometheus has it; None: nothing came."""
    bounds = sorted(buckets)
    counts = [buckets[bound] - before.get(bound, 0.0) for bound in bounds]
    if not counts or counts[-1] <= 0:
        return None
    wanted = share * counts[-1]
    for index, (bound, count) in enumerate(zip(bounds, counts, strict=True)):
        if count >= wanted:
            if bound == float("inf"):
                return bounds[index - 1] if index else None
            low, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
            return low + (bound - low) * (wanted - below) / (count - below) if count > below else bound
    return None
