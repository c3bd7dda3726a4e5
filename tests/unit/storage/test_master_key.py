"""Where the master key comes from, and what is said when it does not."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.core.errors import SealBroken, StartError
from app.storage.master_command import MasterCommand
from app.storage.master_key import MasterKey, ensure_master_key, load_master, new_key


def test_a_made_key_is_private_kept_and_announced(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with capture_logs() as logs:
        path = ensure_master_key(data_dir)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [line["log_level"] for line in logs] == ["warning"]
    assert path.read_text().strip() not in str(logs)
    made = path.read_bytes()
    with capture_logs() as logs:
        assert ensure_master_key(data_dir) == path
    assert path.read_bytes() == made
    assert logs == []
    assert [entry.name for entry in data_dir.iterdir()] == ["master.key"]


def test_processes_that_make_one_at_once_end_with_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: ensure_master_key(tmp_path), range(8)))
    contents = {path.read_bytes() for path in paths}
    assert len(contents) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["master.key"]


def test_the_value_wins_over_the_file(tmp_path: Path) -> None:
    value = new_key()
    ensure_master_key(tmp_path)
    wrapped = load_master(value, tmp_path, may_create=False).wrap(b"x")
    assert MasterKey([value], "here").unwrap(wrapped) == b"x"
    with pytest.raises(SealBroken):
        load_master(None, tmp_path, may_create=False).unwrap(wrapped)


@pytest.mark.parametrize("between", [",", "\n", ", ", "\n\n"])
def test_of_several_keys_the_first_wraps_and_all_unwrap(tmp_path: Path, between: str) -> None:
    new, old = new_key(), new_key()
    both = load_master(f"{new}{between}{old}\n", tmp_path, may_create=False)
    assert both.unwrap(MasterKey([old], "old").wrap(b"x")) == b"x"
    assert MasterKey([new], "new").unwrap(both.wrap(b"y")) == b"y"


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "key"
    file.parent.mkdir()
    file.write_text(new_key())
    assert load_master(None, tmp_path, may_create=False, file=file).source == str(file)
    with pytest.raises(StartError, match="feishu-hub keys make"):
        load_master(None, tmp_path, may_create=True, file=tmp_path / "absent")


def test_a_missing_key_says_how_to_make_and_share_one(tmp_path: Path) -> None:
    with pytest.raises(StartError) as caught:
        load_master(None, tmp_path, may_create=False)
    assert all(part in str(caught.value) for part in ("HUB_MASTER_KEY", "feishu-hub keys make", "feishu-hub engine"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", ["keys/echo.key", "engine/appendonlydir/appendonly.aof.manifest"])
def test_a_lost_key_is_not_replaced_where_something_is_sealed_under_it(tmp_path: Path, kept: str) -> None:
    (tmp_path / kept).parent.mkdir(parents=True)
    (tmp_path / kept).write_bytes(b"wrapped")
    with pytest.raises(StartError, match="put it back"):
        load_master(None, tmp_path, may_create=True)
    assert not (tmp_path / "master.key").exists()


@pytest.mark.parametrize(
    "value", ["secret-but-short", new_key() + ",secret-but-short", ","], ids=["short", "second short", "empty"]
)
def test_what_is_no_key_is_refused_without_showing_it(tmp_path: Path, value: str) -> None:
    with pytest.raises(StartError, match="HUB_MASTER_KEY") as caught:
        load_master(value, tmp_path, may_create=True)
    assert "secret" not in str(caught.value)


def test_no_repr_shows_the_key() -> None:
    key = new_key()
    assert key not in repr(MasterKey([key], "here"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"master\.key: .*not plain text"):
        load_master(None, tmp_path, may_create=True)


def script(directory: Path, text: str) -> Path:
    path = directory / "ask-kms"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def test_what_a_command_prints(tmp_path: Path) -> None:
    new, old = new_key(), new_key()
    command = [str(script(tmp_path, 'echo "$1"; echo "$2"')), new, old]
    with capture_logs() as logs:
        master = load_master(None, tmp_path / "data", may_create=True, command=command)
    assert MasterKey([new], "new").unwrap(master.wrap(b"x")) == b"x"
    assert master.unwrap(MasterKey([old], "old").wrap(b"x")) == b"x"
    assert not (tmp_path / "data").exists()
    assert new not in str(logs) + repr(master) + master.source


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("echo secret-word; echo secret-word >&2; exit 3", "ended with status 3"),
        ("echo secret-word", "key 1 of 1 is not a master key"),
        ("true", "holds no master key"),
        ("exec sleep 60", "did not end within 0.1 s"),
    ],
    ids=["fails", "prints no key", "prints nothing", "hangs"],
)
def test_a_command_that_gives_no_key_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    if "sleep" in text:
        monkeypatch.setattr("app.storage.master_command._TIMEOUT", 0.1)
    with pytest.raises(StartError, match="ask-kms") as caught:
        load_master(None, tmp_path, may_create=True, command=[str(script(tmp_path, text))])
    assert problem in str(caught.value)
    assert "secret-word" not in str(caught.value)
    assert not (tmp_path / "master.key").exists()


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"no-such-kms .*cannot be started"):
        load_master(None, tmp_path, may_create=True, command=["/no-such-kms", "argument"])


def test_a_command_is_asked_again_but_not_at_every_turn(tmp_path: Path) -> None:
    now = 0.0
    command = MasterCommand([str(script(tmp_path, f"echo asked >> {tmp_path}/count; echo key"))], monotonic=lambda: now)
    assert command.run() == "key\n"
    assert command.run_again() is None
    now = 60.0
    assert command.run_again() == "key\n"
    assert (tmp_path / "count").read_text().count("asked") == 2
