"""What a node with three bots takes of memory, under load, its engine and worker included."""

from __future__ import annotations

import statistics
import subprocess
from typing import Final

from bench.feishu import Feishu
from bench.hub import Hub
from bench.marks import Marks
from bench.pace import start_pace
from bench.plan import Plan, apps
from bench.report import Row, row
from bench.sections.handle import finished, marked, until_handled

_BOTS: Final = 3
_RATE: Final = 300.0
_MB: Final = 10**6


def measure(plan: Plan) -> list[Row]:
    """The sum of the processes' proportional set sizes: a page that several share is counted once."""
    count = int(_RATE * plan.pick(6, 15))
    with Feishu(apps(_BOTS)) as feishu:
        config, marks = marked(plan, "memory", _BOTS, count, feishu)
        with Hub(config, plan.scratch / "memory-data") as hub:
            load = start_pace(hub.port, plan.requests(count, _BOTS), marks, count=count, rate=_RATE)
            samples = _samples(hub, load)
            finished(load)
            until_handled(Marks(marks))
    sums = [sum(sample.values()) for sample in samples]
    rows = [row("memory under load", "whole node, PSS", "MB", sums, at_most=180, note=f"at {_RATE:.0f} events/s")]
    for kind in samples[0]:
        rows.append(row("memory under load", f"of it {kind}", "MB", [sample[kind] for sample in samples]))
    return rows


def _samples(hub: Hub, load: subprocess.Popen[str]) -> list[dict[str, float]]:
    """A sample a second while the load lasts, without the first, in which caches fill."""
    samples: list[dict[str, float]] = []
    while True:
        try:
            load.wait(1.0)
            break
        except subprocess.TimeoutExpired:
            samples.append(
                {
                    kind: sum(process.memory_full_info().pss for process in processes) / _MB
                    for kind, processes in hub.processes().items()
                }
            )
    top = statistics.median(sum(sample.values()) for sample in samples[1:])
    return [sample for sample in samples[1:] if sum(sample.values()) >= top] or samples
