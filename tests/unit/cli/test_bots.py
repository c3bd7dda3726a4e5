"""`feishu-hub bots`, as a person and as a program use it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.bots import app
from app.core.keys import Keys
from app.core.redis import RedisLink


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: `config` and `bots` are found there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def bots(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def fill_in(directory: Path) -> None:
    (directory / "credentials.yaml").write_text(
        "app_id: cli_x\napp_secret: s3cret\nverification_token: s3cret\nencrypt_key: s3cret\n"
    )


def test_from_a_new_bot_to_a_good_one(place: Path) -> None:
    added = bots("add", "greeter")
    assert added.exit_code == 0
    assert "fill in config/greeter/credentials.yaml" in added.output
    assert (place / "bots" / "greeter.py").exists()

    listed = bots("list")
    assert listed.exit_code == 0
    assert "missing credentials" in listed.output
    checked = bots("check")
    assert checked.exit_code == 1
    assert "config/greeter/credentials.yaml: app_secret: empty: developer console" in checked.output
    assert bots("check", "--without-credentials").exit_code == 0

    fill_in(place / "config" / "greeter")
    checked = bots("check", "greeter")
    assert checked.exit_code == 0
    assert "1 bot checked, 0 faults" in checked.output
    assert "ready" in bots("list").output


def test_add_takes_a_handler_that_is_installed(place: Path) -> None:
    assert bots("add", "second-echo", "--handler", "echo").exit_code == 0
    assert not (place / "bots").exists()
    assert "handler: echo" in (place / "config" / "second-echo" / "config.yaml").read_text()


def test_add_refuses_what_is_no_id_and_what_is_there() -> None:
    refused = bots("add", "No Id")
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1, "a fault of the handler's name that was made from it is no news"
    assert bots("add", "one").exit_code == 0
    again = bots("add", "one")
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_programs_get_json(place: Path) -> None:
    bots("add", "one")
    fill_in(place / "config" / "one")
    (place / "config" / "one" / "config.yaml").write_text("handler: one\ntimeout: soon\n")

    (row,) = json.loads(bots("list", "--json").output)
    assert (row["id"], row["state"], row["webhook"]) == ("one", "broken", "/webhook/one")
    checked = bots("check", "--json")
    assert checked.exit_code == 1
    report = json.loads(checked.output)
    assert (report["ok"], report["bots"]) == (False, ["one"])
    assert report["faults"][0]["key"] == "timeout"


def test_show_gives_every_value_and_no_secret(place: Path) -> None:
    bots("add", "one")
    fill_in(place / "config" / "one")

    shown = bots("show", "one")
    assert shown.exit_code == 0
    assert "message.retry_policy.backoff" in shown.output
    assert "s3cret" not in shown.output
    values = json.loads(bots("show", "one", "--json").output)["values"]
    assert (values["app_id"], values["app_secret"], values["timeout"]) == ("cli_x", "set", "60s")
    unknown = bots("show", "two")
    assert unknown.exit_code == 1
    assert "there are: one" in unknown.output


def test_a_missing_directory_is_said_once_with_what_to_do() -> None:
    for command in ("list", "check", "show x"):
        result = bots(*command.split(), "-c", "gone")
        assert result.exit_code == 1
        assert result.output == "gone: no such directory: make it, or name another with -c DIR\n"


def test_one_bots_own_directory_will_do(place: Path) -> None:
    bots("add", "one")
    fill_in(place / "config" / "one")
    assert [row["id"] for row in json.loads(bots("list", "--json", "-c", "config/one").output)] == ["one"]


def test_a_wrong_command_line_is_status_2() -> None:
    assert bots("list", "--nonsense").exit_code == 2


def test_what_stands_in_a_file_is_no_markup(place: Path) -> None:
    bots("add", "one")
    (place / "config" / "one" / "config.yaml").write_text("handler: one\n'[red]': 1\n")
    assert "[red]: unknown key" in bots("list").output


async def test_reload_reaches_what_listens_on_the_hubs_channel(
    link: RedisLink, engine_url: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = f"reload-{place.name}:"
    monkeypatch.setenv("HUB_REDIS_URL", engine_url)
    monkeypatch.setenv("HUB_REDIS__PREFIX", prefix)
    nobody = await asyncio.to_thread(bots, "reload")
    assert nobody.exit_code == 1
    assert "no hub is running" in nobody.output

    async with link.blocking.pubsub() as pubsub:
        await pubsub.subscribe(Keys(prefix).changes)
        await pubsub.get_message(timeout=5)
        asked = await asyncio.to_thread(bots, "reload")
        assert asked.exit_code == 0, asked.output
        assert asked.output == "asked 1 process to reload\n"
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
        assert message["data"] == b"reload"
