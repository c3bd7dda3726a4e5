"""The directory in which a backup is made, one at a time; a killed one leaves copies with keys in it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from app.core.errors import HubError

SCRATCH: Final = "backup.scratch"
"""Where in a data directory it is."""
ENGINE: Final = "engine"
_LOCK: Final = "backup.lock"


@contextmanager
def backup_scratch(data_dir: Path) -> Iterator[Path]:
    """The directory, removed at the end with all that is in it; HubError while another backup is made."""
    with _lock(data_dir) as lock:
        if not _locked(lock):
            lock.seek(0)
            holder = lock.read() or "unknown"
            raise HubError(f"another backup is being made in {data_dir} (process {holder}): wait until it is over")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        scratch = data_dir / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def clear_after_backups(data_dir: Path) -> bool:
    """Remove what killed backups have left, the engine's dump too; False while one is made, which clears up itself."""
    if not ((data_dir / SCRATCH).exists() or (data_dir / ENGINE / "dump.rdb").exists()):
        return True
    with _lock(data_dir) as lock:
        if not _locked(lock):
            return False
        shutil.rmtree(data_dir / SCRATCH, ignore_errors=True)
        (data_dir / ENGINE / "dump.rdb").unlink(missing_ok=True)
        return True


def _lock(data_dir: Path) -> IO[str]:
    return (data_dir / _LOCK).open("a+")


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
