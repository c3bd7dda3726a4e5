"""The node's handle on its nursery, the small process that forks workers and reports their ends."""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
from typing import Any, Final, Protocol

from app.core.logs import get_logger
from app.worker.forker import LONGEST_MESSAGE, WorkerMain, be_nursery, flush
from app.worker.lane import Lane

_DESCRIPTORS: Final = 16

log = get_logger(__name__)


class Parent(Protocol):
    """What hears, on the loop, of events in the nursery."""

    def born(self, number: int, pid: int, line: socket.socket) -> None:
        """A worker process was forked; `line` is the node's end."""
        ...

    def died(self, number: int, pid: int, status: int) -> None:
        """A worker process ended; `status` as subprocess has it: negative for a signal. Pid 0: it was never born."""
        ...

    def lost(self) -> None:
        """The nursery itself is gone, and all workers with it."""
        ...


class Nursery:
    """The node's handle on its nursery."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self._control = control
        self._text = b""
        self._lines: list[socket.socket] = []
        self._parent: Parent | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def start(cls, worker_main: WorkerMain) -> Nursery:
        """Fork it; call this at the very start, while the process has one thread and no loop.

        Everything imported by then is shared with all workers, so that each costs little memory and time.
        """
        ours, theirs = socket.socketpair()
        node = os.getpid()
        flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            be_nursery(theirs, worker_main, node)
        theirs.close()
        return cls(pid, ours)

    def listen(self, parent: Parent) -> None:
        """Begin to pass on what the nursery says; needs a running loop."""
        self._parent = parent
        self._control.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control.fileno(), self._readable)

    def spawn(self, lane: Lane) -> None:
        """Ask for a worker process; `born` follows within a few hundredths of a second."""
        self._send({"do": "fork", "lane": lane.order()})

    def kill(self, number: int, signum: int) -> None:
        """Send a signal to a worker; does nothing if it is dead."""
        self._send({"do": "kill", "number": number, "signal": signum})

    def close(self) -> None:
        """End the nursery and all remaining workers (SIGKILL), and wait for it."""
        self._hang_up()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # somebody reaped it

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            # Orders are short and the nursery only reads them: waiting for room takes no time.
            self._control.setblocking(True)
            self._control.sendall(data)
        except OSError:
            pass  # it is gone: the reader notices and says so once
        finally:
            if self._control.fileno() >= 0:
                self._control.setblocking(False)

    def _readable(self) -> None:
        assert self._parent is not None
        try:
            data, lines = _receive(self._control)
        except BlockingIOError:
            return
        except OSError:
            data, lines = b"", []
        self._lines += lines
        if not data:
            self._hang_up()
            log.error("the nursery is gone, and all worker processes with it", pid=self.pid)
            self._parent.lost()
            return
        *whole, self._text = (self._text + data).split(b"\n")
        for text in whole:
            message = json.loads(text)
            if message["say"] == "born":
                self._parent.born(message["number"], message["pid"], self._lines.pop(0))
            else:
                self._parent.died(message["number"], message["pid"], message["status"])

    def _hang_up(self) -> None:
        if self._loop is not None and self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
        self._control.close()


def _receive(control: socket.socket) -> tuple[bytes, list[socket.socket]]:
    """What was written, and the descriptors that came with it, in order."""
    room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = control.recvmsg(LONGEST_MESSAGE, room)
    numbers = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return data, [socket.socket(fileno=number) for number in numbers]
