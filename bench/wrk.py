"""Runs wrk, and believes it only when nothing went wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.events import Requests
from bench.machine import OTHERS, pinned

_SCRIPT = Path(__file__).parent / "load.lua"


class Unsound(Exception):
    """A run whose figures must not be used."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What wrk saw; latencies in milliseconds."""

    answered: int
    seconds: float
    p50: float
    p99: float
    sent: int
    cpu: float = 0.0
    """Microseconds of CPU that the server used for one of them."""

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


def run_wrk(
    port: int,
    requests: Requests,
    *,
    seconds: float,
    connections: int = 64,
    first: int = 0,
    pause_ms: float = 0.0,
    unique: bool = True,
    server: Callable[[], float] = lambda: 0.0,
) -> Burst:
    """Load a server for some seconds; Unsound for any answer but 2xx, and where a request would be sent twice.

    `server` says how many CPU seconds the server has used.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "5s", "-s", str(_SCRIPT)]
    command += [f"http://127.0.0.1:{port}", "--", str(requests.path), str(requests.size), str(first), str(pause_ms)]
    before = server()
    done = subprocess.run(pinned(OTHERS, command), capture_output=True, text=True, check=False)
    used = server() - before
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        raise Unsound(f"wrk said nothing that can be used: {done.stdout[-500:]} {done.stderr[-500:]}")
    result = json.loads(found[0].removeprefix("RESULT "))
    if result["status"] or result["broken"] or result["timeouts"]:
        raise Unsound(f"not every request was answered 200: {result}")
    if unique and result["wrapped"]:
        raise Unsound(f"the {requests.count} prepared requests did not last: make more")
    return Burst(
        result["requests"],
        result["microseconds"] / 1e6,
        result["p50"] / 1000,
        result["p99"] / 1000,
        result["sent"],
        used * 1e6 / max(1, result["requests"]),
    )
