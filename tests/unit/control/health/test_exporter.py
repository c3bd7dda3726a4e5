"""The metrics page holds the node's own numbers in Prometheus' format."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from app.control.health.counted import Counted
from app.control.health.counted_page import CountedPage
from app.control.health.exporter import Gauges, exposition
from app.control.health.status import Health, Place
from app.gateway.counts import Counts, Histogram


def test_counters_gauges_and_histogram_are_there_with_their_labels(tmp_path: Path) -> None:
    page = exposition(
        Gauges(
            waiting={"echo": 3},
            outbox_waiting={"echo": 4},
            outbox_age={"echo": 1.5},
            bots={"ready": 2},
            spool_events=7,
            redis_up=False,
            archive_waiting=8,
            database_away=2.5,
        ),
        Counts(
            accepted=defaultdict(int, {"echo": 5}),
            calls_unanswered=defaultdict(int, {"echo": 1}),
            refused=defaultdict(int, {("echo", "not_verified", "signature"): 2}),
            accept_seconds=Histogram((0.1, 1.0), [4, 2, 1], 3.5),
        ),
        CountedPage(Counted(tmp_path)),
    ).decode()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }

    assert samples["hub_events_accepted_total", ("bot", "echo")] == 5
    refused = ("bot", "echo"), ("check", "signature"), ("code", "not_verified")
    assert samples["hub_requests_refused_total", *refused] == 2
    assert samples["hub_callbacks_unanswered_total", ("bot", "echo")] == 1
    assert samples["hub_queue_waiting", ("bot", "echo")] == 3
    assert samples["hub_outbox_waiting", ("bot", "echo")] == 4
    assert samples["hub_outbox_age_seconds", ("bot", "echo")] == 1.5
    assert samples["hub_spool_events",] == 7
    assert samples["hub_redis_up",] == 0
    assert samples["hub_archive_waiting",] == 8
    assert samples["hub_database_away_seconds",] == 2.5
    assert samples["hub_accept_seconds_bucket", ("le", "1.0")] == 6
    assert samples["hub_accept_seconds_count",] == 7


def test_ready_is_what_can_be_kept_safe() -> None:
    place: Place = "queue"
    health = Health(lambda: place, dict)

    assert health.ready() == (200, {"status": "ready"})
    place = "spool"
    assert health.ready() == (200, {"status": "degraded"})
    place = "none"
    assert health.ready()[0] == 503
    place = "queue"
    health.draining = True
    assert health.ready() == (503, {"status": "draining"})
    assert health.public("/healthz") == (200, {"status": "ok"})
