"""The nursery: a small process, forked before any loop or thread exists, that forks and reaps worker processes."""

from __future__ import annotations

import array
import asyncio
import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.core.logs import get_logger
from app.worker.lane import Lane

_PR_SET_PDEATHSIG: Final = 1
_MESSAGE: Final = 65_536
_DESCRIPTORS: Final = 16

log = get_logger(__name__)

WorkerMain = Callable[[Lane], int | None]
"""What a worker process runs; its result is the exit status (None: 0)."""


class Parent(Protocol):
    """Who is told what happens in the nursery, on the loop."""

    def born(self, number: int, pid: int, line: socket.socket) -> None:
        """A worker process was forked; the line is the node's end."""
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
        """Fork it; to be called at the very start, while the process has one thread and no loop.

        Everything imported by then is shared with all workers, so that each costs little memory and time.
        """
        ours, theirs = socket.socketpair()
        node = os.getpid()
        _flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                ours.close()
                _die_with(node)
                _Forker(theirs, worker_main).run()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                _flush()
                os._exit(status)
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
        """Send a signal to a worker; one that is dead already is left in peace."""
        self._send({"do": "kill", "number": number, "signal": signum})

    def close(self) -> None:
        """End the nursery and every worker that is left (SIGKILL), and wait for it."""
        self._hang_up()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # somebody reaped it

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        try:
            # Orders are short and the nursery does nothing but read them: waiting for room takes no time.
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


@dataclass(slots=True)
class _Child:
    number: int
    pid: int


class _Forker:
    """What runs in the nursery: reads orders, forks, reaps."""

    def __init__(self, control: socket.socket, worker_main: WorkerMain) -> None:
        self._control = control
        self._worker_main = worker_main
        self._children: dict[int, _Child] = {}
        self._text = b""

    def run(self) -> None:
        """Until the node hangs up."""
        # A terminal's Ctrl-C and a supervisor's SIGTERM reach the whole group: the node decides what they mean.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        alarm, bell = socket.socketpair()
        bell.setblocking(False)
        signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        gc.collect()
        gc.freeze()  # the collector would else write to every page that children share
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(alarm, selectors.EVENT_READ)
            inherited = (alarm, bell, selector)
            try:
                while True:
                    ready = [key.fileobj for key, _ in selector.select()]
                    if alarm in ready:
                        alarm.recv(4096)
                        self._reap()
                    if self._control in ready and not self._obey(inherited):
                        return
            finally:
                for child in self._children.values():
                    os.kill(child.pid, signal.SIGKILL)

    def _obey(self, inherited: tuple[Any, ...]) -> bool:
        try:
            data = self._control.recv(_MESSAGE)
        except ConnectionError:
            data = b""
        if not data:
            return False
        *whole, self._text = (self._text + data).split(b"\n")
        for text in whole:
            order = json.loads(text)
            if order["do"] == "fork":
                self._fork(order["lane"], inherited)
            else:
                self._kill(order["number"], order["signal"])
        return True

    def _fork(self, order: dict[str, Any], inherited: tuple[Any, ...]) -> None:
        nursery = os.getpid()
        _flush()
        try:
            node_end, worker_end = socket.socketpair()
            pid = os.fork()
        except OSError as error:
            # No memory, or too many processes or files: the others live on, and the node will ask again.
            log.error("worker process could not be forked", error=error.strerror)
            self._say({"say": "died", "number": order["number"], "pid": 0, "status": error.errno or 1})
            return
        if pid == 0:
            status = 1
            try:
                node_end.close()
                self._control.close()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                for thing in inherited:
                    thing.close()
                _die_with(nursery)
                status = self._worker_main(Lane.ordered(order, worker_end)) or 0
            except SystemExit as leaving:
                status = leaving.code if isinstance(leaving.code, int) else 0
            except BaseException:
                # The last line of defence of a process: nothing above it would tell why it ended.
                traceback.print_exc()
            finally:
                _flush()
                # Threads of plain handlers may hang: an orderly end of the interpreter would wait for them.
                os._exit(status)
        worker_end.close()
        self._children[pid] = _Child(order["number"], pid)
        self._say({"say": "born", "number": order["number"], "pid": pid}, node_end)
        node_end.close()

    def _kill(self, number: int, signum: int) -> None:
        # A child keeps its id until it is reaped here: no other process can be hit.
        for child in self._children.values():
            if child.number == number:
                os.kill(child.pid, signum)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            self._say({"say": "died", "number": child.number, "pid": pid, "status": code})

    def _say(self, message: dict[str, Any], line: socket.socket | None = None) -> None:
        data = json.dumps(message).encode() + b"\n"
        if line is None:
            self._control.sendall(data)
        else:
            socket.send_fds(self._control, [data], [line.fileno()])


def _receive(control: socket.socket) -> tuple[bytes, list[socket.socket]]:
    """What was written, and the descriptors that came with it, in order."""
    room = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, _, _ = control.recvmsg(_MESSAGE, room)
    numbers = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return data, [socket.socket(fileno=number) for number in numbers]


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux; elsewhere the closed socket tells it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before that was set
        os._exit(1)


def _flush() -> None:
    """Empty the buffers, which a fork would double and `_exit` lose."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # a closed stream has nothing to lose


def _noted(_signum: int, _frame: object) -> None:
    """A handler has to be there for the wake-up descriptor to be written."""
