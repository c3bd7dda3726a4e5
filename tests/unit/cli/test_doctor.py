"""`feishu-hub doctor` finds what would keep a hub from running."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from app.cli.doctor import doctor
from app.storage.master_key import new_key

app = typer.Typer()
app.command()(doctor)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an empty `config`, and free ports."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    for name in ("HUB_PORT", "HUB_ADMIN_PORT"):
        monkeypatch.setenv(name, "0")
    return tmp_path


def examined(*args: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    result = CliRunner().invoke(app, ["--json", *args])
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(result.stdout):
        found.setdefault(one["what"], []).append(one)
    return result.exit_code, found


def test_a_fresh_place_is_fit_to_run() -> None:
    status, found = examined()
    assert status == 0
    assert {one[0]["level"] for what, one in found.items() if what != "bots"} == {"ok"}
    assert found["bots"][0]["to_do"] == "make one: feishu-hub bots add NAME"
    assert "is made at the first start" in found["master key"][0]["found"]
    assert CliRunner().invoke(app, []).exit_code == 0


def test_wrong_settings_and_bots_fail_with_what_to_do(place: Path) -> None:
    (place / "config" / "hub.yaml").write_text("prot: 1\n")
    (place / "config" / "one").mkdir()
    (place / "config" / "one" / "config.yaml").write_text("handler: gone\n")
    status, found = examined()
    assert status == 1
    assert "unknown key" in found["settings"][0]["found"]
    levels = {one["found"].split(":")[0].rpartition("/")[2]: one["level"] for one in found["bots"]}
    # A handler that is not there is wrong; credentials that nobody has filled in yet are only missing.
    assert levels["credentials.yaml"] == "warn"
    assert "fail" in levels.values()
    assert "feishu-hub bots check" in found["bots"][0]["to_do"]


def test_an_external_redis_is_asked_and_needs_a_shared_key(engine_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_REDIS_URL", engine_url)
    status, found = examined()
    assert status == 1
    assert found["redis"][0]["level"] == "ok"
    assert "HUB_MASTER_KEY is not set" in found["master key"][0]["found"]
    monkeypatch.setenv("HUB_MASTER_KEY", new_key())
    assert examined()[0] == 0


def test_a_redis_that_does_not_answer_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_REDIS_URL", f"unix://{tmp_path}/nobody.sock")
    monkeypatch.setenv("HUB_MASTER_KEY", new_key())
    status, found = examined()
    assert status == 1
    assert found["redis"][0]["level"] == "fail"


def test_a_taken_port_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("HUB_ADMIN_PORT", str(taken.getsockname()[1]))
        status, found = examined()
    assert status == 0
    assert found["admin port"][0]["level"] == "warn"


def test_a_data_directory_that_cannot_be_is_a_failure(place: Path) -> None:
    (place / "file").write_text("")
    status, found = examined("--data-dir", "file/data")
    assert status == 1
    assert found["data directory"][0]["level"] == "fail"


def test_a_full_disk_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage("/")._replace(free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    status, found = examined()
    assert status == 0
    assert found["data directory"][0]["level"] == "warn"
    assert "5 MiB free, the spool alone may take 1024 MiB" in found["data directory"][0]["found"]


def test_a_database_that_is_away_is_told_of_but_keeps_no_hub_from_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/hub")
    status, found = examined()
    assert status == 0
    [one] = found["database"]
    assert one["level"] == "warn"
    assert "PostgreSQL at 127.0.0.1" in one["found"]
    assert "s3cret" not in str(found)


def test_a_database_is_looked_at_and_left_as_it_is(place: Path) -> None:
    assert "made or updated at the next start" in examined()[1]["database"][0]["found"]
    assert not (place / "data").exists()
    (place / "data").mkdir()
    file = place / "data" / "hub.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.close()
    before = file.read_bytes()
    status, found = examined()
    assert status == 1
    assert found["database"][0]["level"] == "fail"
    assert "is of a newer hub (9999" in found["database"][0]["found"]
    assert file.read_bytes() == before
