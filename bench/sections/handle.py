"""From the POST until the bot's handler is called: how long it takes, and how much one core does of both together."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from bench.events import Requests
from bench.feishu import Feishu
from bench.hub import Hub, write_bot
from bench.machine import MEASURED, OTHERS
from bench.marks import Marks
from bench.pace import start_pace
from bench.plan import Plan, apps
from bench.report import Row, percentile, row
from bench.wrk import Unsound

_BOTS: Final = 3
_RATE: Final = 200.0
_WINDOW: Final = 256
_WARM: Final = 400
_HANDLED_WITHIN: Final = 60.0
# uvloop's timers count in milliseconds, and no process comes before what the kernel is at.
_LATE: Final = 0.005


def measure(plan: Plan) -> list[Row]:
    """Latency at a modest rate, nothing bound to a core; then throughput on one."""
    spans = [latency(plan, _BOTS) for _ in range(plan.rounds)]
    rates = [throughput(plan, _BOTS) for _ in range(plan.rounds)]
    return [
        row("handle, 200 events/s", "POST → 200, p50", "ms", [percentile(s.accept, 0.5) for s in spans]),
        row("handle, 200 events/s", "POST → 200, p99", "ms", [percentile(s.accept, 0.99) for s in spans]),
        row("handle, 200 events/s", "POST → handler, p50", "ms", [percentile(s.handle, 0.5) for s in spans], at_most=2),
        row(
            "handle, 200 events/s", "POST → handler, p99", "ms", [percentile(s.handle, 0.99) for s in spans], at_most=10
        ),
        row(
            "handle, one core",
            "accept and handle together",
            "events/s",
            [rate.rate for rate in rates],
            at_least=3000,
            note="CPU µs/event: "
            + ", ".join(f"{kind} {cost:.0f}" for kind, cost in rates[-1].costs.items() if cost >= 1),
        ),
        row(
            "handle, one core",
            "as many by CPU time",
            "events/s",
            [1e6 / rate.cost for rate in rates],
            note="what gateway and worker would do with a core to themselves",
        ),
    ]


class Spans:
    """Milliseconds from sent to answered and to handled."""

    def __init__(self, marks: Marks, first: int) -> None:
        self.accept = marks.accept_ms(first)
        self.handle = marks.handle_ms(first)
        self.handle_p50 = percentile(self.handle, 0.5)


class Throughput:
    """Events a second, and what each cost."""

    def __init__(self, rate: float, costs: dict[str, float]) -> None:
        self.rate = rate
        self.costs = costs
        self.cost = sum(cost for kind, cost in costs.items() if kind != "engine")
        """Of gateway and worker together, which share the core."""


def latency(plan: Plan, bots: int) -> Spans:
    """At a modest rate, nothing bound to a core."""
    warm, count = warming(bots), int(_RATE * plan.pick(5, 15))
    with Feishu(apps(bots)) as feishu:
        config, path = marked(plan, f"latency-{bots}", bots, warm + count, feishu)
        marks = Marks(path)
        requests = plan.requests(warm + count, bots)
        with Hub(config, plan.scratch / f"latency-{bots}-data") as hub:
            warm_up(hub, requests, path, warm)
            hub.settle()
            finished(start_pace(hub.port, requests, path, first=warm, count=count, rate=_RATE))
            until_handled(marks)
    return Spans(marks, warm)


def throughput(plan: Plan, bots: int) -> Throughput:
    """What gateway and worker do together on one core, with a window of events under way."""
    warm, count = warming(bots), int(plan.pick(6_000, 20_000))
    with Feishu(apps(bots), core=OTHERS) as feishu:
        config, path = marked(plan, f"throughput-{bots}", bots, warm + count, feishu)
        marks = Marks(path)
        requests = plan.requests(warm + count, bots)
        with Hub(config, plan.scratch / f"throughput-{bots}-data", core=MEASURED) as hub:
            warm_up(hub, requests, path, warm)
            hub.settle()
            before = hub.seconds()
            finished(start_pace(hub.port, requests, path, first=warm, count=count, window=_WINDOW, core=OTHERS))
            until_handled(marks)
            used = {kind: seconds - before[kind] for kind, seconds in hub.seconds().items()}
    rate = count / (max(marks.handled[warm:]) - min(marks.sent[warm:]))
    return Throughput(rate, {kind: seconds * 1e6 / count for kind, seconds in used.items()})


def warming(bots: int) -> int:
    """Events before the measured ones: each bot's first brings its key, its token and its name along."""
    return max(_WARM, 2 * bots)


def warm_up(hub: Hub, requests: Requests, path: Path, count: int) -> None:
    """Send the first `count` and wait until they are handled."""
    finished(start_pace(hub.port, requests, path, count=count, window=64))
    until_handled(Marks(path))


def marked(plan: Plan, name: str, bots: int, count: int, feishu: Feishu) -> tuple[Path, Path]:
    """A configuration whose handlers note their instants, and the file where they do."""
    config, marks = plan.scratch / name, plan.scratch / f"{name}-marks"
    Marks(marks, count)
    for app in apps(bots):
        write_bot(config, app, "mark", domain=feishu.url, settings={"marks": str(marks)})
    return config, marks


def finished(process: Any, *, punctual: bool = False) -> float:
    """Wait for a load generator; how long it sent, in seconds. Unsound if not all was answered 200.

    `punctual`: also if it was late itself with more than one in a hundred.
    """
    said, _ = process.communicate()
    result = json.loads(said)
    if result["refused"] or result["unanswered"]:
        raise Unsound(f"not every request was answered 200: {result}")
    if punctual and result["late_p99"] > _LATE:
        raise Unsound(f"the load generator was kept waiting: late by {1000 * result['late_p99']:.1f} ms")
    return float(result["seconds"])


def until_handled(marks: Marks) -> None:
    """Wait until every event that was answered is handled."""
    deadline = time.monotonic() + _HANDLED_WITHIN
    while left := marks.unhandled():
        if time.monotonic() > deadline:
            raise Unsound(f"{left} events were answered and not handled within {_HANDLED_WITHIN:.0f} s")
        time.sleep(0.05)
