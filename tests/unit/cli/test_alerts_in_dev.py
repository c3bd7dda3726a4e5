"""`feishu-hub alerts test` beside a `dev` that runs: its bots have the playground's credentials."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from app.cli.main import app
from app.control.playground import Chat, Playground
from app.control.playground.stage import Stage, running_credentials
from app.storage.master_key import new_key


@pytest.fixture
async def chat(engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chat]:
    """A chat of the bot echo, which has no credentials of its own, in a playground that runs on the data directory."""
    for name, value in {
        "HUB_REDIS_URL": engine_url,
        "HUB_REDIS__PREFIX": f"t{tmp_path.name}:",
        "HUB_MASTER_KEY": new_key(),
        "HUB_DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config" / "echo").mkdir(parents=True)
    (tmp_path / "config" / "echo" / "config.yaml").write_text("handler: echo\n")
    async with Playground() as playground:
        url = await playground.start()
        own = Stage(tmp_path, address=url).credentials("echo")
        echo = playground.add_app(own.app_id, own.app_secret.get_secret_value(), "echo")
        chat = playground.group("team", [echo], [playground.add_user("Ann")])
        settings = {"alerts": {"channels": {"team": {"bot": "echo", "feishu_chat": chat.chat_id}}}}
        (tmp_path / "config" / "hub.yaml").write_text(yaml.safe_dump(settings))
        (tmp_path / "playground.json").write_text(json.dumps({"address": url, "token": playground.control_token}))
        yield chat


async def test_a_chat_of_the_playground_is_reached(chat: Chat, tmp_path: Path) -> None:
    words = ["alerts", "test", "team", "-c", str(tmp_path / "config")]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert (done.exit_code, done.output) == (0, "team took it\n")
    assert [message.msg_type for message in chat.messages] == ["interactive"]


async def test_a_playground_that_ended_is_not_taken_for_one_that_runs(tmp_path: Path) -> None:
    async def admin(*_: object) -> None: ...

    stage = Stage(tmp_path, address="http://127.0.0.1:1")
    assert running_credentials(tmp_path) is None
    stage.beside(admin)
    await Stage(tmp_path, address="http://127.0.0.1:2").close()  # a second one that could not start
    found = running_credentials(tmp_path)
    assert found is not None
    assert found("echo") == stage.credentials("echo")
    await stage.close()
    assert running_credentials(tmp_path) is None
