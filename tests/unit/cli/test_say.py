"""`feishu-hub say` writes to a bot in a playground that runs, and prints what it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.cli.say import say
from app.control.playground import App, Playground
from app.core.errors import HubError
from tests.unit.playground.fake_hub import ENCRYPT_KEY, TOKEN, Caller, FakeHub


@dataclass
class Scene:
    """A playground that runs on a data directory, and the bot `echo`, which gives `answers` to every message."""

    data_dir: Path
    playground: Playground
    app: App
    answers: list[tuple[str, Any]]

    async def say(self, text: str, *, bot: str = "echo", timeout: float = 5.0) -> None:
        """The command blocks, as a command may: it runs beside the playground's loop."""
        await asyncio.to_thread(say, bot, text, self.data_dir, timeout)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    hub = FakeHub()
    await hub.start()
    async with Playground() as playground, aiohttp.ClientSession() as session:
        url = await playground.start()
        app = playground.add_app("cli_e", "secret", "echo", ENCRYPT_KEY, TOKEN, hub.url, hub.url)
        playground.add_user("小明")
        (tmp_path / "playground.json").write_text(json.dumps({"address": url, "token": playground.control_token}))
        scene = Scene(tmp_path, playground, app, [])
        call = Caller(session, url, playground.tokens.issue(app, "t-")[0])

        async def answer(document: dict[str, Any]) -> None:
            chat = document["event"]["message"]["chat_id"]
            for kind, content in scene.answers:
                body = {"receive_id": chat, "msg_type": kind, "content": json.dumps(content)}
                assert await call.code("POST", "im/v1/messages", body, receive_id_type="chat_id") == 0

        hub.on_event = answer
        yield scene
    await hub.close()


async def test_prints_the_answer(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.answers = [("text", {"text": "pong"})]
    await scene.say("ping")
    assert capsys.readouterr().out == "pong\n"


async def test_prints_only_what_came_after_its_own_words(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.answers = [("text", {"text": "first"})]
    await scene.say("one")
    scene.answers = [("text", {"text": "second"})]
    await scene.say("two")
    assert capsys.readouterr().out == "first\nsecond\n"


async def test_a_card_is_shown_by_its_words(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    button = {"tag": "button", "text": {"tag": "plain_text", "content": "Yes"}, "type": "primary", "value": {"a": 1}}
    card = {
        "header": {"title": {"tag": "plain_text", "content": "Deploy?"}},
        "elements": [{"tag": "markdown", "content": "**api**"}, {"tag": "action", "actions": [button]}],
    }
    scene.answers = [("interactive", card)]
    await scene.say("deploy")
    printed = capsys.readouterr().out
    assert "Deploy?" in printed
    assert "api" in printed
    assert "[Yes]" in printed


async def test_a_post_is_shown_by_its_words(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.answers = [("post", {"zh_cn": {"title": "News", "content": [[{"tag": "md", "text": "- one\n- two"}]]}})]
    await scene.say("news")
    assert capsys.readouterr().out == "News\n- one\n- two\n"


async def test_a_card_that_types_is_waited_for(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    card = {
        "schema": "2.0",
        "config": {"streaming_mode": True},
        "body": {"elements": [{"tag": "markdown", "content": "half", "element_id": "answer"}]},
    }
    scene.answers = [("interactive", card)]
    with pytest.raises(HubError, match="did not answer within"):
        await scene.say("write", timeout=0.3)
    assert not capsys.readouterr().out


async def test_a_bot_that_says_nothing_is_told_of(scene: Scene) -> None:
    with pytest.raises(HubError, match="bot echo did not answer within"):
        await scene.say("ping", timeout=0.2)


async def test_an_unknown_bot_is_answered_with_those_there_are(scene: Scene) -> None:
    with pytest.raises(HubError, match="no bot nobody; there are echo"):
        await scene.say("ping", bot="nobody")


def test_without_a_playground_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="start one with `feishu-hub dev`"):
        say("echo", "ping", tmp_path, 1.0)


async def test_a_playground_that_is_gone_is_told_of(scene: Scene) -> None:
    await scene.playground.close()
    with pytest.raises(HubError, match="still running"):
        await scene.say("ping")


async def test_somebody_elses_token_is_refused(scene: Scene) -> None:
    note = scene.data_dir / "playground.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"token": "another"}))
    with pytest.raises(HubError, match="the playground refused"):
        await scene.say("ping")
