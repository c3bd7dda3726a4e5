"""How full the machine is, or the container, if that has limits of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import psutil

_CGROUP: Final = Path("/sys/fs/cgroup")


class Machine:
    """CPU and memory in use, as shares of what this process may have; `cgroup` is where a container's limits are."""

    def __init__(self, cgroup: Path = _CGROUP) -> None:
        self._cgroup = cgroup
        self._used = (time.monotonic(), self._cpu_seconds())
        psutil.cpu_percent()

    def cpu(self) -> float:
        """The share since the last call."""
        cores = self._cores()
        before, self._used = self._used, (time.monotonic(), self._cpu_seconds())
        spent, passed = self._used[1] - before[1], self._used[0] - before[0]
        return spent / passed / cores if cores and passed else float(psutil.cpu_percent()) / 100

    def memory(self) -> float:
        """The share now; what the kernel would give back on demand counts as free."""
        bound, used = self._number("memory.max"), self._number("memory.current")
        if bound is not None and used is not None:
            return max(0.0, used - self._stat("memory.stat", "inactive_file")) / bound
        return float(psutil.virtual_memory().percent) / 100

    def _cores(self) -> float | None:
        """How many the container may use; None if it has no limit."""
        parts = self._text("cpu.max").split()
        return int(parts[0]) / int(parts[1]) if len(parts) == 2 and parts[0].isdecimal() else None

    def _cpu_seconds(self) -> float:
        return self._stat("cpu.stat", "usage_usec") / 1e6

    def _number(self, file: str) -> int | None:
        text = self._text(file).strip()
        return int(text) if text.isdecimal() else None

    def _stat(self, file: str, field: str) -> int:
        for line in self._text(file).splitlines():
            name, _, value = line.partition(" ")
            if name == field:
                return int(value)
        return 0

    def _text(self, file: str) -> str:
        try:
            return (self._cgroup / file).read_text()
        except OSError:
            return ""  # no container, or none with cgroup v2
