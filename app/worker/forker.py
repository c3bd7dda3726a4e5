"""What runs in the nursery: a process forked before any loop or thread exists, so that it can fork workers safely."""

from __future__ import annotations

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
from typing import Any, Final, NoReturn

from app.core.logs import get_logger
from app.worker.lane import Lane

LONGEST_MESSAGE: Final = 65_536
"""Bytes of one read from the socket between node and nursery."""
_PR_SET_PDEATHSIG: Final = 1

WorkerMain = Callable[[Lane], int | None]
"""What a worker process runs; its result is the exit status (None: 0)."""

log = get_logger(__name__)


def be_nursery(control: socket.socket, worker_main: WorkerMain, node: int) -> NoReturn:
    """Turn this process, just forked by `node`, into the nursery, until the node hangs up or dies."""
    status = 1
    try:
        _die_with(node)
        _Forker(control, worker_main).run()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        flush()
        os._exit(status)


class _Forker:
    """Reads the node's orders, forks, and reaps."""

    def __init__(self, control: socket.socket, worker_main: WorkerMain) -> None:
        self._control = control
        self._worker_main = worker_main
        self._children: dict[int, int] = {}
        """The numbers of the worker processes, by process id."""
        self._text = b""

    def run(self) -> None:
        """Run until the node hangs up."""
        # A terminal's Ctrl-C and a supervisor's SIGTERM reach the whole group: the node decides what they mean.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        alarm, bell = socket.socketpair()
        bell.setblocking(False)
        signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        gc.collect()
        gc.freeze()  # otherwise the collector would write to every page that children share
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
                for pid in self._children:
                    os.kill(pid, signal.SIGKILL)

    def _obey(self, inherited: tuple[Any, ...]) -> bool:
        try:
            data = self._control.recv(LONGEST_MESSAGE)
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
        flush()
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
                # The process's last line of defence: nothing above it would say why it ended.
                traceback.print_exc()
            finally:
                flush()
                # Threads of plain handlers may hang: an orderly end of the interpreter would wait for them.
                os._exit(status)
        worker_end.close()
        self._children[pid] = order["number"]
        self._say({"say": "born", "number": order["number"], "pid": pid}, node_end)
        node_end.close()

    def _kill(self, number: int, signum: int) -> None:
        # A child keeps its id until it is reaped here, so no other process can be hit.
        for pid, known in self._children.items():
            if known == number:
                os.kill(pid, signum)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number = self._children.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            self._say({"say": "died", "number": number, "pid": pid, "status": code})

    def _say(self, message: dict[str, Any], line: socket.socket | None = None) -> None:
        data = json.dumps(message).encode() + b"\n"
        if line is None:
            self._control.sendall(data)
        else:
            socket.send_fds(self._control, [data], [line.fileno()])


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (on Linux; elsewhere the closed socket tells it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before that was set
        os._exit(1)


def flush() -> None:
    """Empty the buffers, which a fork would double and `_exit` lose."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # a closed stream has nothing to lose


def _noted(_signum: int, _frame: object) -> None:
    """A handler has to be there for the wake-up descriptor to be written."""
