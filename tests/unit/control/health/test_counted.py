"""The page of what is counted says what prometheus_client's own would, however often it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from app.control.health.count_file import CountFile
from app.control.health.counted import Counted
from app.control.health.counted_page import CountedPage

COUNTING = """
import random, sys
from prometheus_client import Counter, Gauge
from app.core.metrics import ARCHIVED, EVENTS, SLOT_WAIT_SECONDS, WAIT_SECONDS
chance = random.Random(int(sys.argv[1]))
plain = Counter("plain_things", "Without\\nlabels")
own = Gauge("own_things", "Of a bot's code", ["bot"], multiprocess_mode="sum")
for line in sys.stdin:
    for _ in range(int(line)):
        bot = f"bot{chance.randrange(700)}"
        EVENTS.labels(bot, chance.choice(("done", 'a "quoted" \\\\ one', "two\\nlines"))).inc()
        WAIT_SECONDS.labels(bot).observe(chance.randrange(1, 9000) / 1024)
        SLOT_WAIT_SECONDS.labels(bot, "im", "chat").observe(chance.randrange(1, 90) / 1024)
        ARCHIVED.labels("stored").inc(0.5)
        plain.inc(1e17)
        own.labels(bot).set(3)
    print("counted", flush=True)
"""

Samples = dict[tuple[str, ...], float]


class Counting:
    """A process that counts when it is told to."""

    def __init__(self, directory: Path, seed: int) -> None:
        env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(seed)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def count(self, times: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"%d\n" % times)
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"counted\n"

    def end(self) -> None:
        self._process.communicate()


def samples(page: str) -> Samples:
    return {
        (family.name, family.type, family.documentation, sample.name, *map(str, sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def theirs(directory: Path) -> Samples:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return samples(generate_latest(registry).decode())


def test_every_scrape_is_the_librarys(tmp_path: Path) -> None:
    page = CountedPage(Counted(tmp_path))
    assert page.text() == ""
    counting = [Counting(tmp_path, seed) for seed in (1, 2)]
    try:
        for times in (1, 0, 3, 2000, 1, 0):
            for one in counting:
                one.count(times)
            assert samples(page.text()) == theirs(tmp_path)
        # A process that ends is still counted; one that is new is added.
        counting.pop().end()
        counting.append(Counting(tmp_path, 3))
        counting[-1].count(5)
        found = samples(page.text())
        assert found == theirs(tmp_path)
        assert len(found) > 10_000
    finally:
        for one in counting:
            one.end()


def test_a_file_that_is_gone_does_not_count(tmp_path: Path) -> None:
    page = CountedPage(Counted(tmp_path))
    for seed in (1, 2):
        one = Counting(tmp_path, seed)
        one.count(100)
        one.end()
    page.text()
    for path in sorted(tmp_path.glob("counter_*.db"))[:1]:
        path.unlink()
    left = theirs(tmp_path)
    assert {name: value for name, value in samples(page.text()).items() if value or name in left} == left


def test_a_file_that_has_just_been_made_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").write_bytes(b"")
    assert CountFile(tmp_path / "counter_1.db").read() == []
    (tmp_path / "counter_1.db").write_bytes(bytes(64))
    assert CountFile(tmp_path / "counter_1.db").read() == []
