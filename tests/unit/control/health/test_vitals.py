"""A node's numbers of the last minute, from counters that only grow, in files of several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from app.control.health.counted import Counted, Sums
from app.control.health.machine import Machine
from app.control.health.totals import Slot, Totals, of_gateway, slots_of
from app.control.health.vitals import Vitals, quantile
from app.gateway.counts import Counts, Histogram

INF = float("inf")

COUNTING = """
import sys
from app.core.metrics import EVENTS, RESPONSE_SECONDS, SEND_REFUSALS, SENDS, TOKEN_FETCHES
bot = sys.argv[1]
for outcome in ("done", "failed", "timed_out", "died", "retry", "fenced", "store_away"):
    EVENTS.labels(bot, outcome).inc()
for code, bound in (("230020", "chat"), ("99991403", "quota"), ("230002", "")):
    SEND_REFUSALS.labels(bot, "im.message.create", code, bound).inc()
SENDS.labels(bot, "im.message.create", "sent").inc()
TOKEN_FETCHES.labels(bot, "failed").inc(2)
TOKEN_FETCHES.labels(bot, "fetched").inc()
RESPONSE_SECONDS.labels(bot).observe(7.0)
"""


def totals(**counts: float) -> Totals:
    return {Slot(name, "" if name == "requests" else "echo"): count for name, count in counts.items()}


def counting(directory: Path, bot: str) -> None:
    """A process that counts and is gone."""
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
    subprocess.run([sys.executable, "-c", COUNTING, bot], env=env, check=True)


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


def test_processes_are_added_up_and_outcomes_told_apart(tmp_path: Path) -> None:
    files = Sums(Counted(tmp_path), slots_of)
    assert files.read() == {}
    counting(tmp_path, "echo")
    found = files.read()
    figures = {name: found[Slot(name, "echo")] for name in ("handled", "errors", "refusals", "token_failures")}
    assert figures == {"handled": 5, "errors": 3, "refusals": 1, "token_failures": 2}
    counting(tmp_path, "echo")
    counting(tmp_path, "hr")
    found = files.read()
    assert (found[Slot("errors", "echo")], found[Slot("errors", "hr")]) == (6, 3)
    assert sum(count for slot, count in found.items() if slot.figure == "response") == 3
    assert 5 < Vitals(60.0).take(0.0, found)["bots"]["hr"]["response"] <= 10


def test_what_is_read_is_what_the_metrics_page_says(tmp_path: Path) -> None:
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    for bot in ("echo", "echo", "机器人"):
        counting(tmp_path, bot)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]
    page = {
        sample.labels["bot"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "hub_response_seconds_count"
    }
    found = Sums(Counted(tmp_path), slots_of).read()
    mine = {bot: sum(count for slot, count in found.items() if slot[:2] == ("response", bot)) for bot in page}
    assert mine == page
    assert page == {"echo": 2, "机器人": 1}


def test_the_gateway_counts_in_its_own_process() -> None:
    refused = {("page", "unavailable", ""): 2, ("page", "not_verified", "token"): 5, ("", "unknown_bot", ""): 1}
    spans = Histogram((0.1, 1.0), [8, 0, 1], 3.5)
    found = of_gateway(Counts(requests=9, refused=defaultdict(int, refused), accept_seconds=spans))
    assert found[Slot("requests")] == 9
    assert (found[Slot("handled", "page")], found[Slot("errors", "page")]) == (2, 2)
    assert Vitals(60.0).take(0.0, found)["latency"] == 1.0, "beyond the last bound: at least that"


def test_quantiles_are_interpolated_within_their_bucket() -> None:
    bounds = [0.1, 1.0, INF]
    assert quantile(0.95, bounds, {0.1: 90.0, 1.0: 10.0}) == pytest.approx(0.55)
    assert quantile(0.5, bounds, {0.1: 90.0, 1.0: 10.0}) == pytest.approx(0.0555, abs=1e-3)
    assert quantile(0.95, bounds, {1.0: 1.0}) == pytest.approx(0.955)
    assert quantile(0.95, bounds, {INF: 4.0}) == 1.0


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
