"""`feishu-hub messages` lists what is known in clear, and opens one seal at a time."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from app.cli import keys as keys_command
from app.cli.message_pages import as_csv, as_page
from app.cli.messages import app
from app.cli.options import somebody
from app.cli.tables import printable
from app.core.errors import StartError
from app.core.keys import Keys
from app.core.redis import connect
from app.feishu.plain_text import text_of
from app.storage.audit import Audit
from app.storage.cipher import Cipher, record_identity
from app.storage.database import Database
from app.storage.master_key import MasterKey
from app.storage.message import MessageInfo, NewMessage
from app.storage.messages import Messages
from app.storage.reveal import Opened, Reveals

CIPHER = Cipher("echo", {b"keyi": bytes(32)}, b"keyi")
RECEIVED = {
    "schema": "2.0",
    "header": {"event_id": "evt_1"},
    "event": {"message": {"message_type": "text", "content": '{"text":"你好 \\u001b[31mred"}'}},
}
SENT = {"msg_type": "text", "content": '{"text":"pong"}', "target": {"kind": "reply", "id": "om_1"}}


def new(number: int, document: object, **changes: Any) -> NewMessage:
    key = f"evt_{number}"
    fields: dict[str, Any] = {
        "bot": "echo",
        "key": key,
        "direction": "in",
        "type": "im.message.receive_v1",
        "chat_id": "oc_[red]1",
        "user_id": "ou_1",
        "message_id": f"om_{number}",
        "created": 1_700_000_000_000 + number,
        "sealed": CIPHER.seal(orjson.dumps(document), record_identity(key)),
    }
    return NewMessage(**fields | changes)


class _Keys:
    async def refresh(self, bot: str) -> Cipher:
        return CIPHER


@pytest.fixture
def run(database_url: str, engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command over a real store; only the data keys are given."""

    @asynccontextmanager
    async def open_stores(_settings: object, group: str = "") -> AsyncIterator[Any]:
        database, link = Database(database_url, tmp_path), await connect(engine_url)
        try:
            messages, audit = Messages(database), Audit(database)
            reveals, keys = Reveals(messages, _Keys(), audit), Keys(f"t{tmp_path.name}:")
            yield SimpleNamespace(link=link, keys=keys, messages=messages, audit=audit, reveals=reveals)
        finally:
            await link.close()
            await database.close()

    async def fill() -> None:
        async with open_stores(None) as stores:
            await stores.messages.insert(
                [
                    new(1, RECEIVED),
                    new(2, SENT, direction="out", type="text"),
                    new(3, RECEIVED, sealed=new(1, RECEIVED).sealed),
                ]
            )

    asyncio.run(fill())
    monkeypatch.setitem(sys.modules, "app.wiring", SimpleNamespace(open_stores=open_stores))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(tmp_path)])

    return run


def test_list_shows_who_and_where_and_never_what(run: Any) -> None:
    result = run("list", "--bot", "echo")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if line.strip() and line.split()[0].isdecimal()]
    assert [line[0] for line in lines] == ["3", "2", "1"]
    assert lines[1][-4:] == ["echo", "oc_[red]1", "out", "text"]
    assert "pong" not in result.stdout


def test_list_as_json(run: Any) -> None:
    (first,) = json.loads(run("list", "--bot", "echo", "--chat", "oc_[red]1", "--limit", "1", "--json").stdout)
    assert first["id"] == 3
    assert first["created"] == "2023-11-14T22:13:20.003000+00:00"
    assert set(first) == {
        *("id", "bot", "key", "direction", "type", "chat_id", "user_id", "message_id", "created", "state"),
    }
    assert [row["id"] for row in json.loads(run("list", "--before", "2", "--json").stdout)] == [1]


def test_a_chat_needs_its_bot(run: Any) -> None:
    result = run("list", "--chat", "oc_1")
    assert result.exit_code == 2
    assert "--bot" in result.stderr


def test_show_opens_the_seal(run: Any) -> None:
    result = run("show", "1", "--why", "asked")
    assert result.exit_code == 0
    assert result.stdout.endswith("\n\n你好 \N{REPLACEMENT CHARACTER}[31mred\n")
    shown = json.loads(run("show", "2", "--why", "asked", "--json").stdout)
    assert (shown["text"], shown["content"], shown["direction"]) == ("pong", SENT, "out")


def test_show_says_when_there_is_none(run: Any) -> None:
    result = run("show", "99", "--why", "asked")
    assert result.exit_code == 1
    assert "messages list" in result.stderr


def test_a_row_that_was_moved_is_not_shown(run: Any) -> None:
    result = run("show", "3", "--why", "asked")
    assert result.exit_code == 1
    assert "moved" in result.stdout
    assert "pong" not in result.stdout


def test_every_reveal_is_written_down(run: Any) -> None:
    # A program is told that the reason is missing; at a terminal, nobody answers the question.
    assert run("show", "1").exit_code in (1, 2)
    assert json.loads(run("audit", "--json").stdout) == []
    run("show", "1", "--why", "a complaint")
    run("export", "--bot", "echo", "--why", "the auditors asked")
    export, show = json.loads(run("audit", "--json").stdout)
    assert (show["action"], show["bot"], show["which"], show["why"]) == ("show", "echo", "1", "a complaint")
    assert (export["action"], export["which"], export["why"]) == ("export", "1-3", "the auditors asked")
    assert show["who"] == somebody()
    shown = run("audit").stdout
    assert "a complaint" in shown
    assert "你好" not in shown


def test_search_by_what_stands_in_clear(run: Any) -> None:
    def found(*wanted: str) -> list[int]:
        return [row["id"] for row in json.loads(run("search", "--bot", "echo", *wanted, "--json").stdout)]

    assert found("--type", "text") == [2]
    assert found("--event", "evt_1") == [1]
    assert found("--message", "om_3") == [3]
    assert found("--sender", "ou_1", "--chat", "oc_[red]1") == [3, 2, 1]
    assert found("--sender", "ou_2") == []
    assert found("--since", "2023-11-01", "--until", "2023-11-30") == [3, 2, 1]
    assert found("--until", "2023-11-01") == []
    refused = run("search", "--sender", "ou_1")
    assert refused.exit_code == 2
    assert "--bot" in refused.stderr


def test_export_names_what_does_not_open_and_goes_on(run: Any) -> None:
    result = run("export", "--bot", "echo", "--why", "asked")
    assert result.exit_code == 1
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [2, 1]
    assert "message 3 of bot echo left out" in result.stderr


def test_export_as_csv_is_no_formula(run: Any) -> None:
    lines = run("export", "--bot", "echo", "--why", "asked", "--format", "csv").stdout.splitlines()
    rows = list(csv.DictReader(lines))
    assert [row["id"] for row in rows] == ["2", "1"]
    assert rows[0]["text"] == "pong"
    opened = Opened(MessageInfo(1, "echo", "k", "out", "text", "", "", "", 0), SENT | {"content": '{"text":"=1+1"}'})
    assert as_csv()(opened).splitlines()[1].endswith("'=1+1")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (RECEIVED | {"event": {"text": "old schema", "type": "message"}}, "old schema"),
        (
            {
                "msg_type": "post",
                "content": '{"zh_cn":{"title":"T","content":[[{"tag":"text","text":"a"}]]}}',
            },
            "T\na",
        ),
        ({"event": {"message": {"content": '{"title":"","content":[[{"tag":"at"},{"text":"b"}]]}'}}}, "b"),
        ({"msg_type": "image", "content": '{"image_key":"img_1"}'}, None),
        ({"event": {"operator": {}}}, None),
        ({"event": "odd"}, None),
        ({"event": {"message": {"content": "{broken"}}}, "{broken"),
        ("no document", None),
    ],
)
def test_the_words_of_a_message(content: object, text: str | None) -> None:
    assert text_of(content) == text


def test_what_has_no_words_is_shown_as_it_is() -> None:
    info = MessageInfo(1, "echo", "k", "in", "card.action.trigger", "", "ou_1", "", 1_700_000_000_000)
    page = as_page(Opened(info, {"event": {"action": {"name": "approve"}}}))
    assert '"name": "approve"' in page
    assert "chat" not in page


def test_nothing_shown_can_steer_the_terminal() -> None:
    odd = "\N{REPLACEMENT CHARACTER}"
    assert printable("a\x1b]0;title\x07\r\nb\tc\u202e", keep="\n\t") == f"a{odd}]0;title{odd}{odd}\nb\tc{odd}"


def test_keys_make_prints_a_key_that_serves() -> None:
    made = CliRunner().invoke(keys_command.app, ["make"]).stdout.strip()
    master = MasterKey([made], "here")
    assert master.unwrap(master.wrap(b"x")) == b"x"
    with pytest.raises(StartError):
        MasterKey([made[1:]], "here")
