"""Forks a process for each `feishu-hub` command: what is not the hub's own is imported once, and not by each.

A program of its own: it listens on the socket that it is given, and ends with the process that has started it.
"""

from __future__ import annotations

import importlib
import os
import runpy
import select
import signal
import socket
import sys

import orjson

# What takes a command longest. Nothing of the hub's: its modules are imported by each command, as by any other.
_FOREIGN = (
    "aiohttp",
    "aiosqlite",
    "asyncpg",
    "cryptography.fernet",
    "pydantic",
    "redis.asyncio",
    "rich.console",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.ext.asyncio",
    "typer",
    "yaml",
)


def next_command(listener: socket.socket) -> list[str]:
    """Return in the process that a command is to run in, with its arguments; the one that forks never returns."""
    # Whoever waits for a command tells its status; nobody has to wait for those who wait.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)  # its other end is closed: the tests are over
        connection, _ = listener.accept()
        if os.fork() == 0:
            return _run(connection)
        connection.close()


def _run(connection: socket.socket) -> list[str]:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection, connection.makefile("rb") as asked:
        wanted = orjson.loads(asked.readline())
        if command := os.fork():
            status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            connection.sendall(b"%d\n" % status)
            os._exit(0)
    _become(0, os.devnull, os.O_RDONLY)
    for number, name in ((1, "printed"), (2, "errors")):
        _become(number, wanted[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    arguments: list[str] = wanted["arguments"]
    return arguments


def _become(number: int, path: str, how: int) -> None:
    opened = os.open(path, how, 0o600)
    os.dup2(opened, number)
    os.close(opened)


if __name__ == "__main__":
    for _name in _FOREIGN:
        importlib.import_module(_name)
    with socket.socket(socket.AF_UNIX) as _listener:
        _listener.bind(f"{sys.argv[1]}~")
        _listener.listen(64)
        os.rename(f"{sys.argv[1]}~", sys.argv[1])  # there once it can be connected to
        _arguments = next_command(_listener)
    sys.argv[1:] = _arguments
    runpy.run_module("app.cli.main", run_name="__main__", alter_sys=True)
