"""A node's numbers of the last minute, from counters that only grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.control.health.exporter import GatewayNumbers, Gauges, Spans, families
from app.control.health.machine import Machine
from app.control.health.vitals import Totals, Vitals, quantile


def totals(**counts: float) -> Totals:
    found = Totals(requests=counts.pop("requests", 0.0))
    for name, count in counts.items():
        getattr(found, name)["echo"] = count
    return found


def test_rates_are_those_of_the_window() -> None:
    vitals = Vitals(60.0)
    for second in range(0, 300, 5):
        said = vitals.take(1000.0 + second, totals(requests=second * 10.0, handled=second * 2.0, errors=float(second)))
    assert said["requests"] == pytest.approx(600)
    assert said["bots"] == {"echo": {"handled": pytest.approx(120), "errors": pytest.approx(60)}}


def test_a_young_node_says_what_it_counted_since_its_start() -> None:
    vitals = Vitals(60.0)
    assert vitals.take(5.0, totals(requests=7.0))["requests"] == 7.0
    assert vitals.take(10.0, totals(requests=9.0))["requests"] == 9.0


def test_what_is_over_leaves_the_window() -> None:
    vitals = Vitals(60.0)
    for second in range(0, 130, 5):
        said = vitals.take(float(second), totals(errors=9.0 if second >= 60 else 0.0))
        assert bool(said["bots"]) == (60 <= second < 120)


def test_the_metrics_page_is_what_is_counted() -> None:
    numbers = GatewayNumbers(
        requests=9,
        refused={("page", "unavailable", ""): 2, ("page", "not_verified", "token"): 5, ("", "unknown_bot", ""): 1},
        accept_seconds=Spans((0.1, 1.0), (8, 0, 1), 3.5),
    )
    found = Totals.of(families(Gauges(), numbers, None))
    assert found.requests == 9
    assert (found.handled["page"], found.errors["page"]) == (2, 2)
    assert found.accept == {0.1: 8, 1.0: 8, float("inf"): 9}


def test_attempts_are_told_apart_by_how_they_ended() -> None:
    from app.core.metrics import EVENTS, RESPONSE_SECONDS, SEND_REFUSALS, TOKEN_FETCHES

    for outcome in ("done", "failed", "timed_out", "died", "retry", "fenced", "store_away"):
        EVENTS.labels("vital", outcome).inc()
    for code, bound in (("230020", "chat"), ("99991403", "quota"), ("230002", "")):
        SEND_REFUSALS.labels("vital", "im.message.create", code, bound).inc()
    TOKEN_FETCHES.labels("vital", "failed").inc(2)
    TOKEN_FETCHES.labels("vital", "fetched").inc()
    RESPONSE_SECONDS.labels("vital").observe(7.0)
    found = Totals.of(families(Gauges(), GatewayNumbers(), None))
    assert (found.handled["vital"], found.errors["vital"]) == (5, 3)
    assert (found.refusals["vital"], found.token_failures["vital"]) == (1, 2)
    assert 5 < Vitals(60.0).take(0.0, found)["bots"]["vital"]["response"] <= 10


def test_quantiles_are_interpolated_within_their_bucket() -> None:
    buckets = {0.1: 90.0, 1.0: 100.0, float("inf"): 100.0}
    assert quantile(0.95, buckets, {}) == pytest.approx(0.55)
    assert quantile(0.5, buckets, {}) == pytest.approx(0.0555, abs=1e-3)
    assert quantile(0.95, buckets, buckets) is None
    assert quantile(0.95, {0.1: 0.0, float("inf"): 4.0}, {}) == 0.1, "beyond the last bound: at least that"
    assert quantile(0.95, {}, {}) is None


def test_a_container_is_full_by_its_own_bounds(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\n")
    assert Machine(tmp_path).memory() == pytest.approx(0.6)
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 0\n")
    machine = Machine(tmp_path)
    (tmp_path / "cpu.stat").write_text("usage_usec 3600000000\n")
    assert machine.cpu() > 1.0


def test_a_machine_without_bounds_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    machine = Machine(tmp_path)
    assert 0 < machine.memory() < 1
    assert 0 <= machine.cpu() <= 1
