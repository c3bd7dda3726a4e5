"""Starts processes that send (`bench.send_node`), lets them go together, and hears how it went."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import pinned

Stream = tuple[int, str, int, int, int]
"""App, chat, number of its first message among all, how many lie between two of its own, how many it has."""


def send(
    nodes: Sequence[Sequence[Stream]],
    *,
    data_dir: Path,
    redis: str,
    feishu: str,
    limits: Mapping[str, float],
    rate: float = 0.0,
    only_slots: bool = False,
    warm: bool = True,
    core: int | None = None,
) -> list[dict[str, Any]]:
    """Have each node send its streams; `rate`: messages a second offered, of all nodes, 0 for all at once.

    Without `warm` no message is sent before. What each says of it comes back in order.
    """
    processes: list[subprocess.Popen[str]] = []
    try:
        for streams in nodes:
            command = pinned(core, [sys.executable, "-m", "bench.send_node"])
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(process)
            order = {
                "data_dir": str(data_dir),
                "redis": redis,
                "feishu": feishu,
                "apps": sorted({stream[0] for stream in streams}),
                "limits": dict(limits),
                "streams": [list(stream) for stream in streams],
                "rate": rate,
                "only_slots": only_slots,
                "warm": warm,
            }
            _tell(process, json.dumps(order))
            # One after the other: the first makes the data keys.
            _heard(process, "ready")
        for process in processes:
            _tell(process, "go")
        return [json.loads(_heard(process)) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _heard(process: subprocess.Popen[str], wanted: str = "") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line or (wanted and line != wanted):
        raise RuntimeError(f"a process that sends ended or said {line[:100]!r}: its error stands above")
    return line
