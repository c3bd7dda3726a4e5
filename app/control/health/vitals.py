"""A node's numbers of the last minute, which go into its heartbeat for the cluster's alerts."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

from app.control.health.totals import Totals


class Vitals:
    """Keeps the totals of one window and says how they grew, so that the evaluator needs no memory of its own."""

    def __init__(self, window: float) -> None:
        """`window` in seconds."""
        self._window = window
        self._taken: deque[tuple[float, Totals]] = deque()

    def take(self, now: float, totals: Totals) -> Mapping[str, Any]:
        """The numbers, per minute, of the window that ends `now` (monotonic seconds); bots without any are left out."""
        taken = self._taken
        taken.append((now, totals))
        while len(taken) > 1 and taken[1][0] <= now - self._window:
            taken.popleft()
        since, before = taken[0]
        if now - since < self._window:
            before, since = {}, now - self._window  # the node is younger than the window
        minute = 60.0 / (now - since)
        requests = 0.0
        bots: dict[str, dict[str, float]] = defaultdict(dict)
        buckets: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
        for slot, count in totals.items():
            grown = count - before.get(slot, 0.0)
            if not grown:
                continue
            if slot.upto:
                buckets[slot.figure, slot.bot][slot.upto] = grown
            elif slot.bot:
                bots[slot.bot][slot.figure] = grown * minute
            else:
                requests = grown * minute
        bounds: dict[str, list[float]] = defaultdict(list)
        for figure, upto in sorted({(slot.figure, slot.upto) for slot in totals if slot.upto}):
            bounds[figure].append(upto)
        p95 = {key: quantile(0.95, bounds[key[0]], found) for key, found in buckets.items()}
        for (figure, bot), value in p95.items():
            if figure == "response":
                bots[bot]["response"] = value
        return {"requests": requests, "latency": p95.get(("accept", ""), 0.0), "bots": bots}


def quantile(share: float, bounds: list[float], counts: Mapping[float, float]) -> float:
    """A quantile of counts in buckets by upper bound: interpolated within its bucket, like Prometheus'."""
    wanted = share * sum(counts.values())
    low = seen = 0.0
    for bound in bounds:
        count = counts.get(bound, 0.0)
        if count and seen + count >= wanted:
            return low if bound == float("inf") else low + (bound - low) * (wanted - seen) / count
        seen += count
        if bound != float("inf"):
            low = bound
    return low
