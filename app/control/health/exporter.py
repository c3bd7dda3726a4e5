"""The numbers at /metrics: the counts of the node's processes, the gateway's own, and what waits in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.control.health.counted_page import CountedPage
from app.gateway.counts import Counts, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is measured when somebody asks; mappings are by bot."""

    waiting: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    outbox_waiting: Mapping[str, int] = field(default_factory=dict)
    outbox_age: Mapping[str, float] = field(default_factory=dict)
    """For how many seconds the oldest waiting message has been due."""
    bots: Mapping[str, int] = field(default_factory=dict)
    """How many bots are in each state, by state."""
    spool_events: int = 0
    spool_bytes: int = 0
    redis_up: bool = True
    archive_waiting: int = 0
    database_away: float = 0.0
    """For how many seconds the archiver of this node has had no database."""
    workers: int = 0
    followers: int = 0
    """Who follows messages and tasks on this node."""
    followers_refused: int = 0


class _Node(Collector):
    def __init__(self, gauges: Gauges, counts: Counts) -> None:
        self._gauges = gauges
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        counts, now = self._counts, self._gauges
        for name, text, by_bot in (
            ("hub_events_accepted", "Events kept safe and answered 200", counts.accepted),
            ("hub_events_duplicate", "Events that were there already", counts.duplicates),
            ("hub_events_spooled", "Accepted events that went to the local spool", counts.spooled),
            ("hub_odd_timestamps", "Signed timestamps that are no number", counts.odd_timestamps),
            ("hub_callbacks_answered", "Callbacks answered while Feishu waited", counts.calls_answered),
            ("hub_callbacks_unanswered", "Callbacks answered late, or with an error", counts.calls_unanswered),
        ):
            yield _family(CounterMetricFamily(name, text, labels=["bot"]), by_bot)
        yield CounterMetricFamily("hub_requests", "Requests to the public listener", counts.requests)
        yield CounterMetricFamily("hub_commit_failures", "Times Redis took no events", counts.commit_failures)
        refused = CounterMetricFamily("hub_requests_refused", "Requests refused", labels=["bot", "code", "check"])
        for labels, count in counts.refused.items():
            refused.add_metric(labels, count)
        yield refused
        yield _histogram("hub_accept_seconds", "From a request's first byte to its answer", counts.accept_seconds)
        of_bots: tuple[tuple[str, str, Mapping[str, float]], ...] = (
            ("hub_queue_waiting", "Events that wait or are being handled", now.waiting),
            ("hub_dead_letters", "Dead letters", now.dead),
            ("hub_outbox_waiting", "Messages that could be sent and wait", now.outbox_waiting),
            ("hub_outbox_age_seconds", "How long the oldest of them has waited", now.outbox_age),
        )
        for name, text, values in of_bots:
            yield _family(GaugeMetricFamily(name, text, labels=["bot"]), values)
        yield _family(GaugeMetricFamily("hub_bots", "Bots by state", labels=["state"]), now.bots)
        yield GaugeMetricFamily("hub_spool_events", "Events in the local spool", now.spool_events)
        yield GaugeMetricFamily("hub_spool_bytes", "Bytes in the local spool", now.spool_bytes)
        yield GaugeMetricFamily("hub_redis_up", "Whether Redis answers", int(now.redis_up))
        yield GaugeMetricFamily("hub_archive_waiting", "Entries of all logs not archived yet", now.archive_waiting)
        yield GaugeMetricFamily("hub_database_away_seconds", "For how long nothing can be archived", now.database_away)
        yield GaugeMetricFamily("hub_worker_processes", "Worker processes of this node", now.workers)
        yield GaugeMetricFamily("hub_followers", "Who follows messages and tasks", now.followers)
        yield CounterMetricFamily("hub_followers_refused", "Followers refused as too many", now.followers_refused)


def exposition(gauges: Gauges, counts: Counts, counted: CountedPage, *others: Collector) -> bytes:
    """The metrics page; `counted` is what the node's processes count, `counts` its gateway's numbers."""
    return counted.text().encode() + generate_latest(_registry(gauges, counts, others))


def families(gauges: Gauges, counts: Counts, *others: Collector) -> Iterable[Metric]:
    """The metrics page's numbers except the counted ones, as objects."""
    return _registry(gauges, counts, others).collect()


def _registry(gauges: Gauges, counts: Counts, others: Iterable[Collector]) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (_Node(gauges, counts), *others):
        registry.register(collector)
    return registry


def _family(
    family: CounterMetricFamily | GaugeMetricFamily, by_label: Mapping[str, float]
) -> CounterMetricFamily | GaugeMetricFamily:
    for label, value in by_label.items():
        family.add_metric([label], value)
    return family


def _histogram(name: str, text: str, spans: Histogram) -> HistogramMetricFamily:
    buckets: list[tuple[str, float]] = []
    seen = 0
    for bound, count in zip((*map(str, spans.bounds), "+Inf"), spans.counts, strict=True):
        seen += count
        buckets.append((bound, seen))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=spans.total)
