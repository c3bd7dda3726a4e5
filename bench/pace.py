"""A load generator that keeps its pace whatever the server does: `python -m bench.pace`, a process of its own.

Open loop: requests leave at random instants of a given mean rate (Poisson), each is timed from the instant it was due
to leave its queue, so that a server that stalls is charged for all who wait. Closed loop (`--window`): as many are
under way, from sent to handled, as the window says.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final, cast

import uvloop

from bench.events import Requests
from bench.machine import pinned
from bench.marks import Marks
from bench.report import percentile

# A window lasts many times as long; looking more often would take the engine's core away from it.
_TICK: Final = 0.002
_MOST_CONNECTIONS: Final = 256
_PATIENCE: Final = 5.0


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._number = -1
        self._said = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def send(self, number: int, request: bytes) -> None:
        assert self._transport is not None
        self._number = number
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._said += data
        head, found, body = self._said.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length):
            return
        status, self._said = head[9:12], b""
        self._load.answered(self, self._number, status)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost(self._number)


class _Load:
    def __init__(self, port: int, requests: Requests, marks: Marks, first: int) -> None:
        self._port = port
        self._size = requests.size
        self._file = requests.path.open("rb")
        self._marks = marks
        self._free: list[_Connection] = []
        self._opened = 0
        self._due: deque[int] = deque()
        self._next = first
        self.under_way = 0
        self.refused: dict[str, int] = {}
        self._ending = False

    @property
    def next(self) -> int:
        """The number of the next: all before it have left, or wait for a connection."""
        return self._next

    async def open(self, connections: int) -> None:
        await asyncio.gather(*(self._connect() for _ in range(connections)))

    async def _connect(self) -> None:
        self._opened += 1
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        self._released(connection)

    def submit(self) -> None:
        """One more is due now."""
        number = self._next
        self._next += 1
        self._marks.sent[number] = time.monotonic()
        self.under_way += 1
        if self._free:
            self._free.pop().send(number, self._read(number))
            return
        self._due.append(number)
        if self._opened < _MOST_CONNECTIONS:
            self._opening = asyncio.ensure_future(self._connect())

    def answered(self, connection: _Connection, number: int, status: bytes) -> None:
        self.under_way -= 1
        if status == b"200":
            self._marks.answered[number] = time.monotonic()
        else:
            self.refused[status.decode()] = self.refused.get(status.decode(), 0) + 1
        self._released(connection)

    def lost(self, number: int) -> None:
        if not self._ending:
            self.refused["lost"] = self.refused.get("lost", 0) + 1

    def _released(self, connection: _Connection) -> None:
        if self._due:
            number = self._due.popleft()
            connection.send(number, self._read(number))
        else:
            self._free.append(connection)

    def _read(self, number: int) -> bytes:
        self._file.seek(number * self._size)
        return self._file.read(self._size)

    async def finish(self) -> None:
        """Wait for what is under way."""
        deadline = time.monotonic() + _PATIENCE
        while self.under_way and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._ending = True


async def _at_a_rate(load: _Load, rate: float, end: int, begin: float) -> list[float]:
    """How late each left, in seconds: what the generator, and not the hub, owes."""
    dice = random.Random(1)
    due = max(begin, time.monotonic() + 0.05)
    late: list[float] = []
    while load.next < end:
        now = time.monotonic()
        if due > now:
            await asyncio.sleep(due - now)
            continue
        late.append(now - due)
        load.submit()
        due += dice.expovariate(rate)
    return late


async def _in_a_window(load: _Load, marks: Marks, window: int, end: int) -> None:
    waiting: list[int] = []
    while load.next < end:
        waiting = [number for number in waiting if not marks.handled[number]]
        for _ in range(min(window - len(waiting), end - load.next)):
            waiting.append(load.next)
            load.submit()
        await asyncio.sleep(_TICK)


async def _run(arguments: argparse.Namespace) -> None:
    requests = Requests(Path(arguments.requests), arguments.size, 0)
    marks = Marks(Path(arguments.marks))
    load = _Load(arguments.port, requests, marks, arguments.first)
    end = arguments.first + arguments.count
    await load.open(arguments.connections)
    if arguments.first_served:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            pass  # how late it was shows whether that mattered
    late = [0.0]
    began = time.monotonic()
    if arguments.window:
        await _in_a_window(load, marks, arguments.window, end)
    else:
        late = await _at_a_rate(load, arguments.rate, end, arguments.begin)
    seconds = time.monotonic() - began
    await load.finish()
    said = {"seconds": seconds, "refused": load.refused, "unanswered": load.under_way}
    json.dump(said | {"late_p99": percentile(late, 0.99)}, sys.stdout)


def start_pace(
    port: int,
    requests: Requests,
    marks: Path,
    *,
    count: int,
    first: int = 0,
    rate: float = 0.0,
    window: int = 0,
    connections: int = 64,
    core: int | None = None,
    begin: float = 0.0,
    first_served: bool = False,
) -> subprocess.Popen[str]:
    """Start it: `count` events from number `first`, at `rate` a second or in a `window`; its last word is JSON.

    With a rate the first is due at `begin` (monotonic), by when it has started; at once where that is over.
    `first_served` has it run before everything else on its core, where that is allowed: it sleeps nearly always.
    """
    command = [sys.executable, "-m", "bench.pace", "--port", str(port), "--requests", str(requests.path)]
    command += ["--size", str(requests.size), "--marks", str(marks), "--count", str(count), "--rate", str(rate)]
    command += ["--first", str(first), "--begin", str(begin)]
    command += ["--window", str(window), "--connections", str(connections)]
    command += ["--first-served"] if first_served else []
    return subprocess.Popen(pinned(core, command), stdout=subprocess.PIPE, text=True)


def main() -> None:
    """Parse the command line and send."""
    parser = argparse.ArgumentParser(prog="python -m bench.pace", description=__doc__)
    for name in ("port", "size", "first", "count", "window", "connections"):
        parser.add_argument(f"--{name}", type=int, default=0)
    for name in ("rate", "begin"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--requests", required=True)
    parser.add_argument("--marks", required=True)
    parser.add_argument("--first-served", action="store_true")
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
