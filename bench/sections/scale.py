"""What a thousand bots cost compared with three, at the door and all the way to the handler."""

from __future__ import annotations

from typing import Final

from bench.hub import Hub, write_bot
from bench.machine import MEASURED
from bench.plan import Plan, apps
from bench.report import Row, row
from bench.sections.accept import kept_burst
from bench.sections.handle import latency, throughput
from bench.wrk import Burst

_FEW: Final = 3
_MANY: Final = 1000


def measure(plan: Plan) -> list[Row]:
    """Three and a thousand bots in turn; the traffic is spread evenly over all that are configured."""
    # Twelve hubs are started, six of them with a thousand bots: the short lengths have to do.
    plan = Plan(plan.scratch, quick=True)
    few: list[Burst] = []
    many: list[Burst] = []
    for _ in range(plan.rounds):
        few.append(_accept(plan, _FEW, _FEW))
        many.append(_accept(plan, _MANY, _FEW))
    costs = [b.cpu / a.cpu for a, b in zip(few, many, strict=True)]
    rows = [
        row("scale, accept", f"CPU/event, {_FEW} bots", "µs", [burst.cpu for burst in few]),
        row("scale, accept", f"CPU/event, {_MANY} bots configured", "µs", [burst.cpu for burst in many]),
        row("scale, accept", "ratio of the costs", "", costs, at_most=1.10),
    ]
    few_rates, many_rates, few_waits, many_waits = [], [], [], []
    for _ in range(plan.rounds):
        few_rates.append(throughput(plan, _FEW).cost)
        many_rates.append(throughput(plan, _MANY).cost)
        few_waits.append(latency(plan, _FEW).handle_p50)
        many_waits.append(latency(plan, _MANY).handle_p50)
    ratios = [b / a for a, b in zip(few_rates, many_rates, strict=True)]
    waits = [b / a for a, b in zip(few_waits, many_waits, strict=True)]
    rows += [
        row("scale, accept to handler", f"CPU/event, {_FEW} bots", "µs", few_rates, note="gateway and worker"),
        row("scale, accept to handler", f"CPU/event, traffic over {_MANY} bots", "µs", many_rates),
        row("scale, accept to handler", "ratio of the costs", "", ratios, at_most=1.20),
        row("scale, accept to handler", f"p50 at 200 events/s, {_FEW} bots", "ms", few_waits),
        row("scale, accept to handler", f"p50 at 200 events/s, {_MANY} bots", "ms", many_waits),
        row("scale, accept to handler", "ratio of the p50s", "", waits, at_most=1.20),
    ]
    return rows


def _accept(plan: Plan, configured: int, spread: int) -> Burst:
    """The same traffic, to `spread` bots, with so many configured."""
    config = plan.scratch / f"scale-{configured}"
    for app in apps(configured):
        write_bot(config, app, "noop")
    with Hub(config, plan.scratch / f"scale-{configured}-data", roles="gateway", core=MEASURED) as hub:
        hub.settle()
        return kept_burst(plan, hub, spread)
