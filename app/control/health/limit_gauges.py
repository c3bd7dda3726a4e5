"""How far each of Feishu's limits is used, over all nodes, as the metrics page shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.channel.usage import LimitUse, QuotaUse, Usage
from app.core.errors import StoreUnavailable


@dataclass(eq=False, slots=True)
class LimitGauges(Collector):
    """Bounded: every API of an app, but only the busiest chats, people and the like."""

    limits: Sequence[LimitUse] = ()
    quotas: Sequence[QuotaUse] = ()

    def collect(self) -> Iterable[Metric]:
        """The families; every node has them all."""
        labels = ["kind", "name", "api", "span"]
        used = GaugeMetricFamily("hub_limit_used", "Calls within a span, mean of the last minute", labels=labels)
        allowed = GaugeMetricFamily("hub_limit_allowed", "Calls that the hub allows itself within it", labels=labels)
        waiting = GaugeMetricFamily("hub_limit_waiting", "Calls that wait for a slot", labels=labels[:3])
        wait = GaugeMetricFamily("hub_limit_wait_seconds", "How long a slot is waited for", labels=labels[:3])
        for limit in self.limits:
            values = [limit.kind, limit.name, limit.api, f"{limit.span:g}s"]
            used.add_metric(values, limit.mean)
            allowed.add_metric(values, limit.allowed)
        # Each is there once for each span, with the same number waiting.
        for place, one in {(one.kind, one.name, one.api): one for one in self.limits}.items():
            waiting.add_metric(place, one.waiting)
            wait.add_metric(place, one.wait)
        yield from (used, allowed, waiting, wait)
        calls = GaugeMetricFamily("hub_quota_used", "Calls of the month", labels=["quota"])
        quota_allowed = GaugeMetricFamily("hub_quota_allowed", "Calls that the account has a month", labels=["quota"])
        projected = GaugeMetricFamily("hub_quota_projected", "Calls by the month's end", labels=["quota"])
        stopped = GaugeMetricFamily("hub_quota_stopped", "Whether Feishu says that it is used up", labels=["quota"])
        for quota in self.quotas:
            calls.add_metric([quota.group], quota.used)
            projected.add_metric([quota.group], quota.projected)
            stopped.add_metric([quota.group], float(quota.stopped))
            if quota.allowed is not None:
                quota_allowed.add_metric([quota.group], quota.allowed)
        yield from (calls, quota_allowed, projected, stopped)


async def limit_gauges(usage: Usage) -> LimitGauges:
    """The gauges of now; empty while Redis is away."""
    try:
        return LimitGauges(await usage.read(), await usage.quotas())
    except StoreUnavailable:
        return LimitGauges()
