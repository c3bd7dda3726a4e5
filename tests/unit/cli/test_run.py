"""`feishu-hub run`: what happens before the node."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from app.cli.run import _numbers


def test_a_start_leaves_the_counters_of_a_living_node_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    living, gone = data_dir / "metrics" / str(os.getppid()), data_dir / "metrics" / _ended()
    for directory in (living, gone):
        directory.mkdir(parents=True)
        (directory / "counter_1.db").write_bytes(b"1")

    own = _numbers(data_dir)

    assert (living / "counter_1.db").exists()
    assert not gone.exists()
    assert own.name == str(os.getpid())
    (own / "counter_2.db").write_bytes(b"1")
    assert list(_numbers(data_dir).iterdir()) == [], "an earlier node that had the same process id"


def test_the_data_directory_is_the_hubs_alone(tmp_path: Path) -> None:
    _numbers(tmp_path / "new" / "data")
    assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700


def _ended() -> str:
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)
