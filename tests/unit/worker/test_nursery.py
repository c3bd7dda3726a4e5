"""Worker processes are forked by the nursery, live and die with it, and their ends are told."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import psutil
import pytest

from app.worker.lane import Lane
from app.worker.nursery import Nursery
from tests.waiting import until


class Seen:
    """Notes what the nursery says."""

    def __init__(self) -> None:
        self.lines: dict[int, socket.socket] = {}
        self.pids: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.gone = False

    def born(self, number: int, pid: int, line: socket.socket) -> None:
        self.lines[number], self.pids[number] = line, pid

    def died(self, number: int, pid: int, status: int) -> None:
        self.ends[number] = status

    def lost(self) -> None:
        self.gone = True


def obey(lane: Lane) -> int:
    """A worker that does what it is told over its line, a word at a time."""
    assert lane.line is not None
    lane.line.sendall(f"{lane.number} {lane.slot} {lane.kind} {','.join(lane.bots)}".encode())
    while word := lane.line.recv(100):
        if word == b"leave":
            return 7
        if word == b"exit":
            os._exit(3)
        if word == b"fail":
            raise SystemExit(4)
    return 0


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery.start(obey)
    yield nursery
    nursery.close()


@pytest.fixture
async def seen(nursery: Nursery) -> AsyncIterator[Seen]:
    seen = Seen()
    nursery.listen(seen)
    yield seen
    for line in seen.lines.values():
        line.close()


def lane(number: int, bots: tuple[str, ...] = ()) -> Lane:
    return Lane(number, number, "shared", f"node:{number}", bots=bots)


async def test_a_worker_is_told_its_lane_and_its_end_is_told(nursery: Nursery, seen: Seen) -> None:
    nursery.spawn(lane(1, ("bad", "worse")))
    await until(lambda: 1 in seen.lines)
    assert seen.lines[1].recv(100) == b"1 1 shared bad,worse"
    assert psutil.Process(seen.pids[1]).ppid() == nursery.pid
    seen.lines[1].sendall(b"leave")
    await until(lambda: seen.ends == {1: 7})


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda pid, line: line.sendall(b"exit"), 3),
        (lambda pid, line: line.sendall(b"fail"), 4),
        (lambda pid, line: os.kill(pid, signal.SIGKILL), -signal.SIGKILL),
        (lambda pid, line: line.close(), 0),
    ],
)
async def test_every_kind_of_end_is_told(
    nursery: Nursery, seen: Seen, end: Callable[[int, socket.socket], None], status: int
) -> None:
    nursery.spawn(lane(1))
    await until(lambda: 1 in seen.lines)
    seen.lines[1].recv(100)
    end(seen.pids[1], seen.lines[1])
    await until(lambda: seen.ends == {1: status})


async def test_many_workers_each_have_a_line_of_their_own(nursery: Nursery, seen: Seen) -> None:
    for number in range(1, 9):
        nursery.spawn(lane(number))
    await until(lambda: len(seen.lines) == 8)
    for number, line in seen.lines.items():
        assert line.recv(100).split()[0] == str(number).encode()
    nursery.kill(3, signal.SIGKILL)
    await until(lambda: seen.ends == {3: -signal.SIGKILL})
    assert all(psutil.pid_exists(pid) for number, pid in seen.pids.items() if number != 3)


async def test_a_fork_that_fails_is_told_and_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    forks = 0

    def fork() -> int:
        # The first is the nursery's own; its memory, this number too, goes on there.
        nonlocal forks
        forks += 1
        if forks == 3:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return real()

    real = os.fork
    monkeypatch.setattr(os, "fork", fork)
    nursery, seen = Nursery.start(obey), Seen()
    nursery.listen(seen)
    for number in (1, 2, 3):
        nursery.spawn(lane(number))
    await until(lambda: seen.ends == {2: errno.ENOMEM} and set(seen.lines) == {1, 3})
    for line in seen.lines.values():
        line.recv(100)
        line.close()
    await until(lambda: seen.ends == {1: 0, 2: errno.ENOMEM, 3: 0})
    nursery.close()


async def test_ctrl_c_and_a_groups_sigterm_do_not_end_the_nursery(nursery: Nursery, seen: Seen) -> None:
    os.kill(nursery.pid, signal.SIGINT)
    os.kill(nursery.pid, signal.SIGTERM)
    nursery.spawn(lane(1))
    await until(lambda: 1 in seen.lines)
    seen.lines[1].recv(100)


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="only Linux kills children with their parent")
async def test_workers_die_with_the_nursery(nursery: Nursery, seen: Seen) -> None:
    nursery.spawn(lane(1))
    await until(lambda: 1 in seen.pids)
    worker = psutil.Process(seen.pids[1])
    os.kill(nursery.pid, signal.SIGKILL)
    await until(lambda: seen.gone)
    await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


async def test_closing_ends_all_workers(seen: Seen, nursery: Nursery) -> None:
    nursery.spawn(lane(1))
    await until(lambda: 1 in seen.pids)
    worker = psutil.Process(seen.pids[1])
    nursery.close()
    await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
