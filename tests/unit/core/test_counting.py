"""What is written straight to its places is what prometheus_client would have written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

# Enough bots that the file grows while some are known already; bounds themselves are counted below them.
COUNTING = """
import os, random
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from app.core.counting import BotCounter, BotHistogram
theirs = Histogram("theirs", "h", ["bot"], buckets=(0.25, 0.5, 4.0)), Counter("their", "c", ["bot", "outcome"])
own = Histogram("ours", "h", ["bot"], buckets=(0.25, 0.5, 4.0)), Counter("our", "c", ["bot", "outcome"])
spans, counts = BotHistogram(own[0]), BotCounter(own[1])
chance = random.Random(1)
for number in range(12_000):
    bot, outcome = f"bot{chance.randrange(1 + number // 6)}", chance.choice(("done", "failed"))
    seconds = chance.choice((0.0, 0.125, 0.25, 0.3, 0.5, 4.0, 4.5, 1e9))
    theirs[0].labels(bot).observe(seconds)
    spans.observe(bot, seconds)
    theirs[1].labels(bot, outcome).inc()
    counts.inc(bot, outcome)
registry = REGISTRY
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


@pytest.mark.parametrize("shared", [True, False], ids=["in files", "in memory"])
def test_it_counts_as_the_library_does(tmp_path: Path, shared: bool) -> None:
    env = os.environ | ({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if shared else {})
    said = subprocess.run([sys.executable, "-c", COUNTING], env=env, check=True, capture_output=True, text=True)
    found = {
        family.name: [(sample.name.removeprefix(family.name), sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(said.stdout)
    }
    assert sum(value for name, _, value in found["ours"] if name == "_count") == 12_000
    for ours, theirs in (("ours", "theirs"), ("our", "their")):
        mine = [sample for sample in found[ours] if sample[0] != "_created"]
        assert mine == [sample for sample in found[theirs] if sample[0] != "_created"]
