"""`feishu-hub say`: write to a bot of a running `feishu-hub dev` from the terminal, and see what it answers."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.core.errors import HubError

_DATA_DIR: Final = Path("data/dev")
_LOOK_EVERY: Final = 0.05
# Where words stand in a post or card, in the order in which they are read.
_PARTS: Final = ("header", "title", "body", "elements", "columns", "text", "fields", "actions", "content", "zh_cn")

BotName = Annotated[str, typer.Argument(help="Bot id.")]
Text = Annotated[str, typer.Argument(help="What to write to it.")]
DevDataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory of the `feishu-hub dev` that runs.")]
Patience = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the answer.")]


def say(bot: BotName, text: Text, data_dir: DevDataDir = _DATA_DIR, timeout: Patience = 10.0) -> None:
    """Write to a bot in the playground as 小明, in their private chat, and print its answer."""
    stage = _Stage(data_dir)
    state = stage.ask("GET", "/state")
    app = next((one for one in state["apps"] if one["name"] == bot), None)
    if app is None:
        raise HubError(f"the playground has no bot {bot}; there are {', '.join(one['name'] for one in state['apps'])}")
    person = state["users"][0]["user_id"]
    chat = stage.ask("POST", "/p2p", {"app_id": app["app_id"], "user_id": person})["chat_id"]
    said = stage.ask("POST", "/says", {"user_id": person, "chat_id": chat, "text": text})["message_id"]
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        messages = stage.ask("GET", f"/messages?chat_id={chat}&user_id={person}")["messages"]
        ids = [one["message_id"] for one in messages]
        answers = messages[ids.index(said) + 1 :]
        # A card that still types is looked at again.
        if answers and not any(_types(answer) for answer in answers):
            for answer in answers:
                typer.echo(_text_of(answer))
            return
        time.sleep(_LOOK_EVERY)
    raise HubError(f"bot {bot} did not answer within {timeout:g} s; its log tells why")


class _Stage:
    """The control API of the playground that runs on a data directory."""

    def __init__(self, data_dir: Path) -> None:
        try:
            found = json.loads((data_dir / "playground.json").read_text())
        except (OSError, ValueError):
            raise HubError(f"no playground runs on {data_dir}: start one with `feishu-hub dev`") from None
        self._address, self._token = found["address"], found["token"]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._address}/_playground{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Playground-Token": self._token, "Content-Type": "application/json"},
        )
        try:
            # No proxy: the playground is here.
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise HubError(f"the playground refused: {error.read().decode()[:300]}") from None
        except OSError:
            raise HubError("the playground does not answer: is `feishu-hub dev` still running?") from None


def _content_of(message: dict[str, Any]) -> Any:
    content = message.get("content")
    return json.loads(content) if isinstance(content, str) else content


def _types(message: dict[str, Any]) -> bool:
    content = _content_of(message)
    return isinstance(content, dict) and bool(content.get("config", {}).get("streaming_mode"))


def _text_of(message: dict[str, Any]) -> str:
    """What a terminal can show of a message: texts as they are, cards and posts as title, text and [buttons]."""
    content = _content_of(message)
    if isinstance(content, dict) and "text" in content and isinstance(content["text"], str):
        return content["text"]
    lines = list(_lines(content))
    return "\n".join(lines) if lines else json.dumps(content, ensure_ascii=False)


def _lines(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for one in part:
            yield from _lines(one)
    elif isinstance(part, str) and part:
        yield part
    elif isinstance(part, dict):
        if part.get("tag") == "button":
            yield f"[{part.get('text', {}).get('content', '')}]"
        elif isinstance(part.get("content"), str):
            yield part["content"]
        else:
            for name in _PARTS:
                if name in part:
                    yield from _lines(part[name])
