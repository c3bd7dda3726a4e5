"""A hub under test: its directories, its processes, and its queue as it really is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import unquote
from urllib.request import urlopen

import psutil
import redis
import yaml

from app.core.engine_socket import socket_url
from app.core.keys import Keys
from bench.events import App
from bench.machine import OTHERS, pin, pinned
from bench.ports import free_port

HANDLERS: Final = Path(__file__).parent / "handlers"
_READY_WITHIN: Final = 60.0
_SETTLED_WITHIN: Final = 30.0
# CPU seconds of the main process in one second that nobody sends in.
_IDLE: Final = 0.08


def write_bot(root: Path, app: App, handler: str, *, domain: str = "http://127.0.0.1:9", **config: Any) -> None:
    """A bot's directory; `domain` is where its Feishu is, by default nowhere."""
    directory = root / app.bot
    directory.mkdir(parents=True, exist_ok=True)
    credentials = {
        "app_id": app.app_id,
        "app_secret": app.secret,
        "encrypt_key": app.encrypt_key,
        "verification_token": app.token,
        "domain": domain,
    }
    file = directory / "credentials.yaml"
    file.write_text(yaml.safe_dump(credentials))
    file.chmod(0o600)
    (directory / "config.yaml").write_text(yaml.safe_dump({"handler": handler, **config}))


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """What processes have used so far, in user and kernel mode."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


class Hub:
    """One `feishu-hub run`, from an empty data directory unless told otherwise; ended with the block."""

    def __init__(
        self,
        config: Path,
        data_dir: Path,
        *,
        roles: str | None = None,
        core: int | None = None,
        fsync: str = "always",
        env: Mapping[str, str] | None = None,
        fresh: bool = True,
    ) -> None:
        """`core` binds everything but the engine, which then goes to the other one."""
        self.data_dir = data_dir
        self.port, self.admin_port = free_port(), free_port()
        self._core = core
        self._log = data_dir.parent / f"{data_dir.name}.log"
        self._command = [sys.executable, "-m", "app.cli.main", "run", "-c", str(config), "--bots", str(HANDLERS)]
        self._command += ["--host", "127.0.0.1", "--port", str(self.port), "--admin-port", str(self.admin_port)]
        self._command += ["--data-dir", str(data_dir), *(["--roles", roles] if roles else [])]
        # Bytecode is kept, as it is where nobody forbids it: else every start would compile the hub anew.
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._env = {**kept, "HUB_REDIS__FSYNC": fsync, **(env or {})}
        self._fresh = fresh
        self._process: subprocess.Popen[bytes] | None = None
        self.started_in = 0.0
        """Seconds from exec until ready."""

    def __enter__(self) -> Hub:
        if self._fresh:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        began = time.monotonic()
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                pinned(self._core, self._command), env=self._env, stdout=output, stderr=output
            )
        try:
            self._until_ready(began + _READY_WITHIN)
        except BaseException:
            self._kill()
            raise
        self.started_in = time.monotonic() - began
        if self._core is not None:
            for engine in self.processes()["engine"]:
                pin(engine.pid, OTHERS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        if self._fresh and error is None:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def stop(self) -> None:
        """End it in order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            family = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            self._process.wait()
            psutil.wait_procs(family, timeout=5)

    def _until_ready(self, deadline: float) -> None:
        assert self._process is not None
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the hub did not start:\n{self.said()[-3000:]}")
            try:
                with urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2):
                    return
            except (URLError, OSError):
                time.sleep(0.005)

    def said(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Its processes by what they are: `main`, `engine`, `nursery`, `worker`."""
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        found: dict[str, list[psutil.Process]] = {"main": [main], "engine": [], "nursery": [], "worker": []}
        for child in main.children():
            if "valkey" in child.name() or "redis" in child.name():
                found["engine"].append(child)
            else:
                found["nursery"].append(child)
                found["worker"] += child.children()
        return found

    def seconds(self) -> dict[str, float]:
        """CPU seconds that each kind of process has used."""
        return {kind: cpu_seconds(processes) for kind, processes in self.processes().items()}

    def settle(self) -> None:
        """Wait until what a start leaves to be done afterwards is done, such as copying a thousand data keys."""
        deadline = time.monotonic() + _SETTLED_WITHIN
        quiet = 0
        while quiet < 3:
            before = cpu_seconds(self.processes()["main"])
            time.sleep(1)
            quiet = quiet + 1 if cpu_seconds(self.processes()["main"]) - before < _IDLE else 0
            if time.monotonic() > deadline:
                raise RuntimeError(f"the hub is not idle {_SETTLED_WITHIN:.0f} s after its start")

    def queue(self) -> redis.Redis:
        """A client of its engine."""
        return redis.Redis(unix_socket_path=unquote(socket_url(self.data_dir).removeprefix("unix://")), protocol=3)

    def logged(self, apps: Sequence[App]) -> int:
        """How many events stand in the bots' logs."""
        return self._sum(apps, "log", "XLEN")

    def waiting(self, apps: Sequence[App]) -> int:
        """How many events are not handled yet."""
        return self._sum(apps, "depth", "GET")

    def _sum(self, apps: Sequence[App], part: str, command: str) -> int:
        keys = Keys()
        with self.queue() as client, client.pipeline(transaction=False) as pipe:
            for app in apps:
                pipe.execute_command(command, keys.bot(app.bot, part))
            return sum(int(answer or 0) for answer in pipe.execute())
