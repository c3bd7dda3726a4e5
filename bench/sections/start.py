"""From the command until the node is ready: the second start, with bytecode compiled and the schema in place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Final

from bench.hub import HANDLERS, Hub, write_bot
from bench.plan import Plan, apps
from bench.report import Row, row

_BOTS: Final = 3
_SHOWN: Final = 6
# What `python -X importtime` says of a module: own and cumulative microseconds, then the name, indented by depth.
_IMPORT: Final = re.compile(r"import time:\s+\d+ \|\s+(\d+) \| ( *)(\S+)")


def measure(plan: Plan) -> list[Row]:
    """Starts over one data directory; the first, which makes keys and schema, is not counted."""
    config, data = plan.scratch / "start", plan.scratch / "start-data"
    for app in apps(_BOTS):
        write_bot(config, app, "noop")
    starts = []
    for _ in range(plan.rounds + 2):
        with Hub(config, data, fresh=False) as hub:
            starts.append(hub.started_in)
            hub.stop()
    rows = [
        row("start", "to ready, second start and later", "s", starts[1:], at_most=2, note=f"first {starts[0]:.2f} s")
    ]
    for name, seconds in _imports()[:_SHOWN]:
        rows.append(row("start", f"of it import {name}", "s", [seconds]))
    return rows


def _imports() -> list[tuple[str, float]]:
    """The packages whose import takes longest, by the time of their outermost module."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-X", "importtime", "-c", "import app.cli.run, app.node_process"]
    said = subprocess.run(command, env=kept, capture_output=True, text=True, check=True, cwd=HANDLERS.parent.parent)
    sums: dict[str, int] = {}
    open_at: list[tuple[int, str]] = []
    # Inner modules are printed before the one that imports them: read backwards, every package's outermost comes first.
    for time, indent, module in reversed(_IMPORT.findall(said.stderr)):
        depth, package = len(indent), module.partition(".")[0]
        while open_at and open_at[-1][0] >= depth:
            open_at.pop()
        if all(outer != package for _, outer in open_at):
            sums[package] = sums.get(package, 0) + int(time)
        open_at.append((depth, package))
    return sorted(((name, total / 1e6) for name, total in sums.items() if name != "app"), key=lambda entry: -entry[1])
