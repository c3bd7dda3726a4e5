"""What a backup is called says what it is: a directory, or a packed file; anything else is refused."""

from __future__ import annotations

import os
import random
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.core.errors import HubError
from app.storage.backup import is_packed
from app.storage.restore import restore


@pytest.mark.parametrize("name", ["hub.tar", "hub.tar.gz", "hub.tgz", "HUB.TAR.GZ"])
def test_packed(name: str) -> None:
    assert is_packed(Path(name))


@pytest.mark.parametrize("name", ["hub", "hub-2026.11.21", "hub.d", "v1.2"])
def test_directories(name: str) -> None:
    assert not is_packed(Path(name))


@pytest.mark.parametrize("name", ["hub.zip", "hub.tar.xz", "hub.gz", "HUB.ZIP", "hub.tar.zst"])
def test_what_is_neither_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"a directory, or a file that ends in \.tar, \.tar\.gz or \.tgz"):
        is_packed(tmp_path / name)
    done = CliRunner().invoke(app, ["backup", str(tmp_path / name), "-c", str(tmp_path)])
    assert done.exit_code == 1
    assert isinstance(done.exception, HubError)
    assert list(tmp_path.iterdir()) == []


def test_an_older_backup_of_such_a_name_is_still_restored(tmp_path: Path) -> None:
    (tmp_path / "hub.zip").mkdir()
    assert not is_packed(tmp_path / "hub.zip")


@pytest.mark.parametrize(
    ("name", "made", "said"),
    [
        ("hub", None, "there is no such backup"),
        ("hub.tar", None, "there is no such backup"),
        ("hub.zip", "file", "a backup is a directory, or a file that ends in"),
        ("hub", "file", "is a file, by its name a directory"),
        ("hub.tar", "directory", "is a directory, by its name a file"),
        ("hub", "directory", "is no backup that `feishu-hub backup` made"),
        ("hub.tar", "file", "could not be restored"),
    ],
)
def test_restoring_what_is_no_backup(tmp_path: Path, name: str, made: str | None, said: str) -> None:
    backup = tmp_path / name
    if made == "file":
        backup.write_bytes(b"PK")
    elif made == "directory":
        backup.mkdir()
    with pytest.raises(HubError, match=said):
        restore(backup, tmp_path / "data", None)
    assert not any((tmp_path / "data").glob("*"))


@pytest.mark.parametrize("name", ["/elsewhere", "../elsewhere", "link", "pipe"])
def test_what_leads_out_of_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type = {"link": tarfile.SYMTYPE, "pipe": tarfile.FIFOTYPE}.get(name, tarfile.REGTYPE)
    member.linkname = ".."
    with tarfile.open(tmp_path / "hub.tar", "w") as tar:
        tar.addfile(member)
    with pytest.raises(HubError, match=f"holds '{name}', which no backup does"):
        restore(tmp_path / "hub.tar", tmp_path / "data", None)
    assert not any((tmp_path / "data").glob("*"))


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.1])
def test_one_that_was_cut_off_is_named(tmp_path: Path, kept: float) -> None:
    (tmp_path / "spool.db").write_bytes(random.Random(4).randbytes(100_000))
    with tarfile.open(tmp_path / "hub.tgz", "w:gz") as tar:
        tar.add(tmp_path / "spool.db", arcname="./spool.db")
    os.truncate(tmp_path / "hub.tgz", int(kept * (tmp_path / "hub.tgz").stat().st_size))
    with pytest.raises(HubError, match=r"hub\.tgz could not be restored, it may be cut off"):
        restore(tmp_path / "hub.tgz", tmp_path / "data", None)
    assert not any((tmp_path / "data").glob("*"))
