"""What one core accepts: the bare server, the hub with all that it promises, and lark-oapi, which keeps nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psutil

from bench.hub import Hub, cpu_seconds, write_bot
from bench.machine import MEASURED, pinned
from bench.plan import Plan, apps
from bench.ports import free_port
from bench.report import Row, row
from bench.wrk import Burst, Unsound, run_wrk

_BOTS: Final = 3
_CONNECTIONS: Final = 64
_PREPARED: Final = (130_000, 260_000)
"""Events, for a quick and a full run: more than the fastest takes."""
_UVICORN: Final = ("--no-access-log", "--log-level", "warning", "--backlog", "4096", "--host", "127.0.0.1")
_GUNICORN: Final = ("--backlog", "4096", "--log-level", "warning", "bench.rivals.lark_wsgi:app")


@dataclass(frozen=True, slots=True)
class _Variant:
    name: str
    run: Callable[[Plan, float], Burst]
    """Given the mean pause of a connection in ms."""
    kept: bool = False


def measure(plan: Plan) -> list[Row]:
    """Every variant at full speed, in turn; then the hub's and the bare one at half of their top rates."""
    variants = [
        _Variant("(a) bare ASGI", lambda p, pause: _rival(p, pause, _uvicorn("bench.rivals.bare:app"))),
        _Variant("(b) hub, fsync always", lambda p, pause: _hub(p, pause, "always"), kept=True),
        _Variant("(b) hub, fsync everysec", lambda p, pause: _hub(p, pause, "everysec"), kept=True),
        _Variant(
            "(c) lark-oapi, FastAPI", lambda p, pause: _rival(p, pause, _uvicorn("bench.rivals.lark_fastapi:app"))
        ),
        _Variant("(c) lark-oapi, gunicorn sync", lambda p, pause: _rival(p, pause, _gunicorn("sync"))),
        _Variant("(c) lark-oapi, gunicorn gthread", lambda p, pause: _rival(p, pause, _gunicorn("gthread"))),
    ]
    top: dict[str, list[Burst]] = {variant.name: [] for variant in variants}
    for _ in range(plan.rounds):
        for variant in variants:
            top[variant.name].append(variant.run(plan, 0.0))
    rates = {name: [burst.rate for burst in bursts] for name, bursts in top.items()}
    bare = rates["(a) bare ASGI"]
    rows = []
    for name, bursts in top.items():
        note = f"p50 {_median(b.p50 for b in bursts):.1f} ms, p99 {_median(b.p99 for b in bursts):.1f} ms"
        rows.append(row("accept, one core", name, "events/s", rates[name], note=note))
    costs = {name: [burst.cpu for burst in bursts] for name, bursts in top.items()}
    for name, cost in costs.items():
        rows.append(row("accept, CPU", name, "µs/event", cost))
    bounds = {"(b) hub, fsync always": 0.35, "(b) hub, fsync everysec": 0.40}
    for name in list(rates)[1:]:
        ratios = [own / best for own, best in zip(rates[name], bare, strict=True)]
        by_cost = _median(costs["(a) bare ASGI"]) / _median(costs[name])
        note = f"by CPU {by_cost:.2f}"
        rows.append(row("accept, ratios", f"{name} / (a)", "", ratios, at_least=bounds.get(name), note=note))
    for name in [name for name in rates if name.startswith("(c)")]:
        ratios = [own / peer for own, peer in zip(rates["(b) hub, fsync always"], rates[name], strict=True)]
        note = f"by CPU {_median(costs[name]) / _median(costs['(b) hub, fsync always']):.2f}"
        rows.append(row("accept, ratios", f"(b) always / {name}", "", ratios, at_least=2.5, note=note))
    for variant in variants[:3]:
        # A connection that pauses for as long as the top rate leaves between its requests sends about half as much.
        pause = _CONNECTIONS / _median(rates[variant.name]) * 1000
        halves = [variant.run(plan, pause) for _ in range(2)]
        rows.append(
            row(
                "accept, half load",
                f"{variant.name}, p99",
                "ms",
                [half.p99 for half in halves],
                at_most=15 if variant.kept else None,
                note=f"at {_median(h.rate for h in halves):,.0f} events/s, p50 {_median(h.p50 for h in halves):.2f} ms",
            )
        )
    return rows


def _median(values: Iterator[float] | list[float]) -> float:
    return statistics.median(values)


# -- the hub ------------------------------------------------------------------------------------------------------


def _hub(plan: Plan, pause: float, fsync: str) -> Burst:
    """Only answers whose events stand in the log afterwards count."""
    config = plan.scratch / "accept"
    for app in apps(_BOTS):
        write_bot(config, app, "noop")
    with Hub(config, plan.scratch / "accept-data", roles="gateway", core=MEASURED, fsync=fsync) as hub:
        return kept_burst(plan, hub, _BOTS, pause)


def kept_burst(plan: Plan, hub: Hub, bots: int, pause: float = 0.0) -> Burst:
    """Load a hub whose queue is fresh, after a second of warming up."""
    requests = plan.requests(int(plan.pick(*_PREPARED)), bots)
    warm = run_wrk(hub.port, requests, seconds=1)
    before = hub.logged(apps(bots))
    burst = run_wrk(
        hub.port,
        requests,
        seconds=plan.pick(3, 5),
        first=warm.sent,
        pause_ms=pause,
        server=lambda: hub.seconds()["main"],
    )
    found = hub.logged(apps(bots)) - before
    # Requests that were under way when the load ended are in the log, and answered to nobody.
    if found > burst.answered + 2 * _CONNECTIONS + 2:
        raise Unsound(f"{found} events stand in the logs, only {burst.answered} were answered")
    if "spool" in hub.said():
        raise Unsound("the queue failed and the spool took over: see the hub's log")
    return replace(burst, answered=min(burst.answered, found))


# -- the others ---------------------------------------------------------------------------------------------------


def _uvicorn(app: str) -> list[str]:
    return ["-m", "uvicorn", app, "--loop", "uvloop", "--http", "httptools", *_UVICORN, "--port"]


def _gunicorn(worker: str) -> list[str]:
    threads = ["--threads", "8"] if worker == "gthread" else []
    return ["-m", "gunicorn", "--workers", "1", "--worker-class", worker, *threads, *_GUNICORN, "--bind"]


def _rival(plan: Plan, pause: float, arguments: list[str]) -> Burst:
    requests = plan.requests(int(plan.pick(*_PREPARED)), _BOTS)
    with _server(plan, arguments) as (port, process):
        # gunicorn's sync worker ends every connection, which wrk would count as broken at many connections at once.
        connections = 16 if "sync" in arguments else _CONNECTIONS
        run_wrk(port, requests, seconds=1, connections=connections, unique=False)
        return run_wrk(
            port,
            requests,
            seconds=plan.pick(3, 5),
            connections=connections,
            pause_ms=pause,
            unique=False,
            server=lambda: cpu_seconds([process, *process.children()]),
        )


@contextmanager
def _server(plan: Plan, arguments: list[str]) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    where = str(port) if arguments[-1] == "--port" else f"127.0.0.1:{port}"
    with (plan.scratch / "rival.log").open("wb") as output:
        command = pinned(MEASURED, [sys.executable, *arguments, where])
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            _until_it_answers(port, process)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(20)


def _until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/", timeout=2)
            return
        except HTTPError:
            return
        except (URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("a server to compare with did not start: see rival.log") from None
            time.sleep(0.05)
