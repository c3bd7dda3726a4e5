"""The hub's engine alone, for what is measured without a hub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType

import psutil

from bench.hub import cpu_seconds
from bench.machine import pin


class Engine:
    """`feishu-hub engine`, with a master key beside it; ended with the block."""

    def __init__(self, data_dir: Path, *, fsync: str = "always", core: int | None = None) -> None:
        self._command = [sys.executable, "-m", "app.cli.main", "engine", "--data-dir", str(data_dir), "--fsync", fsync]
        self._core = core
        self._process: subprocess.Popen[str]
        self._server: psutil.Process
        self.url = ""

    def __enter__(self) -> Engine:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        name, _, self.url = self._process.stdout.readline().strip().partition("=")
        if name != "HUB_REDIS_URL":
            raise RuntimeError("the engine did not start: try `feishu-hub engine`")
        [self._server] = psutil.Process(self._process.pid).children()
        if self._core is not None:
            pin(self._server.pid, self._core)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)

    @property
    def cpu(self) -> float:
        """CPU seconds that it has used."""
        return cpu_seconds([self._server])
