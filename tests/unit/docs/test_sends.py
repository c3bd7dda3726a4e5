"""docs/sends.md is true to what leaves: each verb's path, and whether it is repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from lark_oapi.api.im.v1 import CreateMessageRequest, CreateMessageRequestBody, ListChatRequest

from app.channel.call import Call
from app.channel.cardkit import CREATE_CARD, CardKit, Entity
from app.channel.exchange import Exchange
from app.channel.lark import known_call
from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu import codes
from app.feishu.client import Answer, FeishuApi
from app.model.bot import BotSpec
from app.model.outbound import Outbound, SendName, Target
from tests.unit.channel.parts import cache_of
from tests.unit.docs.page import Page

PAGE = Page("docs/sends.md")
[APIS] = [table for table in PAGE.tables if table[0][0] == "you write"]
[CODES] = [table for table in PAGE.tables if table[0][0] == "Feishu says"]


class Said:
    """A sender whose calls end before the network, and the calls."""

    def __init__(self, link: RedisLink, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []

        async def run(_self: Exchange, _spec: BotSpec, call: Call, **_: Any) -> Answer:
            self.calls.append(call)
            return Answer(200, 0, "", {}, {}, "", b"{}", {"bot": {"open_id": "ou_bot"}})

        monkeypatch.setattr(Exchange, "run", run)
        api = FeishuApi()
        tokens = Tokens(api, link, keys, None)  # type: ignore[arg-type]
        self.sender = Sender(api, tokens, Limiter(link, keys, SendLimits()), cache_of(link, keys))


@pytest.fixture
def said(link: RedisLink, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Said:
    return Said(link, keys, monkeypatch)


@pytest.fixture
def spec() -> BotSpec:
    from app.control.registry.check import stand_in_credentials
    from app.model.bot import BotConfig

    config = BotConfig.model_validate({"handler": "echo"})
    return BotSpec("echo", config, stand_in_credentials("echo"), "1", "config/echo", (), (), ())


def _message(target: Target) -> tuple[Outbound, SendName, None]:
    name = SendName("echo", "om_1", 0, "api", target.id, 1)
    return Outbound(target, "text", '{"text":"hi"}'), name, None


def _entity(sender: Sender, spec: BotSpec) -> Entity:
    name = SendName("echo", "om_1", 0, CREATE_CARD, "oc_1", 1)
    return Entity(CardKit(sender.exchange), spec, "ID", name, 1)


Do = Callable[[Sender, BotSpec], Coroutine[Any, Any, object]]
VERBS: dict[str, Do] = {
    "im.message.reply": lambda s, b: s.send(b, *_message(Target("reply", "ID", "oc_1"))),
    "im.message.create": lambda s, b: s.send(b, *_message(Target("chat_id", "oc_1"))),
    "cardkit.card.create": lambda s, b: CardKit(s.exchange).create(b, "", ""),
    "cardkit.card_element.content": lambda s, b: _entity(s, b).show("text"),
    "cardkit.card.settings": lambda s, b: _entity(s, b)._settings({"streaming_mode": False}),
    "im.message.patch": lambda s, b: s.update(b, "ID", "interactive", "{}"),
    "im.message.update": lambda s, b: s.update(b, "ID", "text", "{}"),
    "im.message.reaction.create": lambda s, b: s.react(b, "ID", "OK"),
    "im.image.create": lambda s, b: s.upload_image(b, b"image"),
    "im.file.create": lambda s, b: s.upload_file(b, b"file", "a.txt"),
    "im.message.resource.get": lambda s, b: s.download(b, "ID", "KEY", "file"),
    "interactive.card.update": lambda s, b: s.update_card(b, "c-1", {}),
    "ephemeral.send": lambda s, b: s.ephemeral(b, "oc_1", "ou_1", {}),
    "im.url_previews.batch_update": lambda s, b: s.update_previews(b, ["t"]),
    "bot.info": lambda s, b: s.bot_info(b),
    "im.chat.get": lambda s, b: s.chat_info(b, "ID"),
    "contact.user.get": lambda s, b: s.user_info(b, "ID"),
}


def _rows(api: str) -> list[list[str]]:
    return [row for row in APIS[1:] if row[1] == f"`{api}`"]


@pytest.mark.parametrize("api", VERBS)
async def test_verb_goes_where_the_page_says(said: Said, spec: BotSpec, api: str) -> None:
    await VERBS[api](said.sender, spec)

    [call] = said.calls
    assert call.api == api
    # By `ctx.call` it is the same to the limiter.
    assert known_call(call.method, call.path)[0] == api
    rows = _rows(api)
    assert rows, f"{api} is not on the page"
    for row in rows:
        assert row[2] == f"`{call.method} {call.path.removeprefix('/open-apis')}`"
        assert ("**nothing**" in row[3]) is not call.repeatable
        assert ("`uuid`" in row[3]) is ("uuid" in (call.json or {}))


def test_page_has_no_other_api() -> None:
    named = {row[1].strip("`") for row in APIS[1:] if re.fullmatch(r"`[a-z_.]+`", row[1])}
    assert named == VERBS.keys()


async def test_calls_of_any_api_are_repeated_as_the_page_says(said: Said, spec: BotSpec) -> None:
    def create(uuid: str | None) -> CreateMessageRequest:
        body = CreateMessageRequestBody.builder().receive_id("oc_1").msg_type("text").content("{}")
        request = CreateMessageRequest.builder().receive_id_type("chat_id")
        built: CreateMessageRequest = request.request_body((body.uuid(uuid) if uuid else body).build()).build()
        return built

    for request in (ListChatRequest.builder().build(), create("u1"), create(None)):
        await said.sender.call(spec, request)

    assert [(call.method, call.repeatable) for call in said.calls] == [("GET", True), ("POST", True), ("POST", False)]
    rows = [row for row in APIS[1:] if "ctx.call" in row[0]]
    assert ["**nothing**" in row[3] for row in rows] == [False, False, True]


def test_codes_are_those_that_the_hub_knows() -> None:
    text = " ".join(cell for row in CODES for cell in row)
    named = {int(code) for code in re.findall(r"\b\d{5,8}\b", text)} | {1500, 2200}
    known = (
        codes.APP_LIMITED
        | codes.CHAT_LIMITED
        | codes.TOKEN_INVALID
        | codes.BEING_SENT
        | codes.ALREADY_DONE
        | codes.REPLY_TARGET_GONE
        | codes.INTERNAL
        | codes.WRONG_CREDENTIALS
        | codes.APP_UNFIT
        | {codes.QUOTA_USED_UP, codes.NO_SCOPE}
    )
    assert named == known


def test_tries_are_those_of_the_code() -> None:
    from app.channel import exchange

    text = " ".join(cell for row in CODES for cell in row)
    assert f"after {exchange._TRIES} tries" in text
    waits = ", ".join(f"{exchange._FIRST_WAIT * 2**n:g}" for n in range(exchange._TRIES - 1))
    assert f"after {waits} s" in text
    app, chat = exchange._LIMITED_TRIES["app"], exchange._LIMITED_TRIES["chat"]
    assert f"at the {app}th (app), the {chat}th (chat)" in text


async def test_the_example_is_a_bot(tmp_path: Path) -> None:
    from app.sdk import BotTest

    [code] = PAGE.blocks("python")
    names: dict[str, Any] = {"__name__": "docs_sends"}
    exec(compile(code, "docs/sends.md", "exec", dont_inherit=True), names)
    test = BotTest(names["bot"])
    assert await test.message("/pay") == []
    assert [sent.chat_id for sent in test.sent] == ["oc_finance"]
