"""Where the benchmarks run: two cores, one for what is measured and one for what measures it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

MEASURED: Final = 1
"""The core of the server under test."""
OTHERS: Final = 0
"""The core of load generator and engine."""


def pinned(core: int | None, command: list[str]) -> list[str]:
    """The command, bound to a core."""
    return command if core is None else ["taskset", "-c", str(core), *command]


def pin(pid: int, core: int) -> None:
    """Bind every thread of a process that runs already."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def started_on(core: int) -> Iterator[None]:
    """What is started meanwhile, and what that starts, is bound to a core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def description() -> dict[str, Any]:
    """What a reader has to know to compare the figures with others."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
    }
