"""A small file system, and how to leave no room in it."""

from __future__ import annotations

import mmap
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk_at(path: Path) -> Iterator[Path]:
    """A file system of 32 MiB at a new directory; without the right to mount one the test is skipped."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system to fill")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(ballast: Path) -> None:
    """Write a file until no page is free."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(mmap.PAGESIZE))
        except OSError:
            pass  # now it is full
