"""`feishu-hub run`: what happens before the node."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.engine import _has_master_key
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


@pytest.mark.parametrize(
    ("env", "makes"),
    [
        ({}, True),
        ({"HUB_MASTER_KEY": "k"}, False),
        ({"HUB_MASTER_KEY_COMMAND": "print-key"}, False),
        ({"HUB_MASTER_KEY_FILE": "/elsewhere/master.key"}, False),
        # As supervisor/bots.conf has it: the file that the engine is to make.
        ({"HUB_MASTER_KEY_FILE": "{data}/../data/master.key", "HUB_MASTER_KEY_COMMAND": "print-key"}, True),
    ],
)
def test_the_engine_makes_a_master_key_only_where_the_hubs_look_for_it(
    tmp_path: Path, env: dict[str, str], makes: bool
) -> None:
    data = tmp_path / "data"
    given = {name: value.format(data=data) for name, value in env.items()}
    assert _has_master_key(given, data / "master.key") is not makes


def test_standard_streams_that_are_closed_lead_nowhere() -> None:
    program = (
        "import sys; from app.cli.main import _open_closed; _open_closed(); sys.stderr.write('lost');"
        "file = open('/dev/null'); print(file.fileno() > 2, repr(sys.stdin.read()))"
    )
    shell = ["sh", "-c", 'exec "$0" -c "$1" <&- 2>&-', sys.executable, program]
    assert subprocess.run(shell, capture_output=True, text=True).stdout == "True ''\n"


def _ended() -> str:
    process = subprocess.Popen(["true"])
    process.wait()
    return str(process.pid)
