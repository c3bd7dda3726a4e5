"""`feishu-hub run`: what happens before the node."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from app.cli.run import _numbers, home_of_numbers
from app.core.errors import StartError


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's place in memory is left as it is."""
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr("app.cli.run._MEMORY", tmp_path / "memory")


def test_a_start_leaves_the_counters_of_a_living_node_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    home = home_of_numbers(data_dir)
    living, gone = home / str(os.getppid()), home / _ended()
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


def test_a_data_directory_that_cannot_be_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(StartError, match=rf"{wrong}: .*; the data directory cannot be made: name another, by"):
            _numbers(wrong)


def _ended() -> str:
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)
