"""`call` makes the request that lark-oapi itself would make, and answers in lark-oapi's own classes."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import lark_oapi as lark
import pytest
from aiohttp import web
from lark_oapi.api.im.v1 import (
    CreateFileRequest,
    CreateFileRequestBody,
    CreateMessageRequest,
    CreateMessageRequestBody,
    DeleteMessageRequest,
    GetMessageResourceRequest,
    ListMessageRequest,
    ListMessageResponse,
    PatchMessageRequest,
    PatchMessageRequestBody,
    ReplyMessageRequest,
    ReplyMessageRequestBody,
)
from lark_oapi.core.model import BaseRequest, BaseResponse

from app.channel.sender import Sender
from app.core.errors import FeishuRefused, OutcomeUnknown
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.bot import BotSpec
from app.model.outbound import Outbound, Target
from tests.unit.channel.parts import name, text
from tests.unit.channel.stand_in import Fault, Seen, StandIn


def create(uuid: str = "u-1", receiver: str = "oc_1") -> Any:
    body = (
        CreateMessageRequestBody.builder()
        .receive_id(receiver)
        .msg_type("text")
        .content('{"text":"你好"}')
        .uuid(uuid)
        .build()
    )
    return CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body).build()


def reply() -> Any:
    body = ReplyMessageRequestBody.builder().content('{"text":"hi"}').msg_type("text").reply_in_thread(True).build()
    return ReplyMessageRequest.builder().message_id("om/../1?x").request_body(body).build()


def patch() -> Any:
    body = PatchMessageRequestBody.builder().content("{}").build()
    return PatchMessageRequest.builder().message_id("om_1").request_body(body).build()


def listing() -> Any:
    return ListMessageRequest.builder().container_id_type("chat").container_id("oc_1").page_size(2).build()


def delete() -> Any:
    return DeleteMessageRequest.builder().message_id("om_1").build()


def raw() -> Any:
    return (
        BaseRequest.builder()
        .http_method(lark.HttpMethod.POST)
        .uri("/open-apis/interactive/v1/card/update")
        .token_types({lark.AccessTokenType.TENANT})
        .queries([("a", "1"), ("a", "2")])
        .headers({"X-Mine": "1"})
        .body({"token": "c-1", "card": {"schema": "2.0", "none": None}})
        .build()
    )


def as_sent(seen: Seen) -> tuple[Any, ...]:
    body = json.loads(seen.body) if seen.body else None
    return seen.method, seen.path, seen.query, body, seen.headers["Authorization"], seen.headers.get("X-Mine")


@pytest.mark.parametrize("make", [create, reply, patch, listing, delete, raw])
async def test_the_request_is_the_one_lark_oapi_makes(
    sender: Sender, feishu: StandIn, spec: BotSpec, make: Callable[[], Any]
) -> None:
    client = lark.Client.builder().app_id("cli_a").app_secret("secret-a").domain(feishu.url).build()
    client._config.enable_set_token = True
    feishu.good.add("t-1")
    option = lark.RequestOption.builder().tenant_access_token("t-1").build()
    feishu.issued = 0
    await client.arequest(make(), option)
    feishu.faults.append(Fault("code", code=230001))
    with pytest.raises(FeishuRefused):
        await sender.call(spec, make())
    theirs, ours = (seen for seen in feishu.seen if "/auth/" not in seen.path)
    assert as_sent(ours) == as_sent(theirs)


async def test_the_answer_is_lark_oapis_own(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    items = {
        "items": [{"message_id": "om_1", "body": {"content": "{}"}}],
        "has_more": True,
        "page_token": "p",
    }
    feishu.answers["GET /open-apis/im/v1/messages"] = {"code": 0, "msg": "ok", "data": items}
    request = listing()
    before = dict(vars(request))
    response = await sender.call(spec, request)
    assert isinstance(response, ListMessageResponse)
    assert response.success()
    assert response.data.items[0].message_id == "om_1"
    assert response.data.has_more is True
    assert response.get_log_id() == "log-1"
    assert response.raw.status_code == 200
    assert json.loads(response.raw.content)["data"] == items
    assert vars(request) == before


async def test_a_raw_request_answers_with_the_base_response(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["POST /open-apis/interactive/v1/card/update"] = {"code": 0, "msg": "ok"}
    response = await sender.call(spec, raw())
    assert type(response) is BaseResponse
    assert response.success()


async def test_a_message_sent_this_way_counts_against_the_chat(
    sender: Sender, spec: BotSpec, link: RedisLink, keys: Keys
) -> None:
    response = await sender.call(spec, create())
    assert response.data.message_id == "om_1"
    assert await link.commands.zcard(keys.limit_chat("oc_1")) == 1


def content() -> Any:
    path = "/open-apis/cardkit/v1/cards/7:1/elements/answer/content"
    request = BaseRequest.builder().http_method(lark.HttpMethod.PUT).uri(path)
    return request.token_types({lark.AccessTokenType.TENANT}).body({"content": "hi", "sequence": 1}).build()


def ephemeral() -> Any:
    request = BaseRequest.builder().http_method(lark.HttpMethod.POST).uri("/open-apis/ephemeral/v1/send")
    return request.token_types({lark.AccessTokenType.TENANT}).body({"chat_id": "oc_1", "card": {}}).build()


async def test_a_plain_call_counts_where_feishu_counts_the_hubs_own(
    sender: Sender, feishu: StandIn, spec: BotSpec, link: RedisLink, keys: Keys
) -> None:
    feishu.answers |= {
        "PATCH /open-apis/im/v1/messages/om_1": {"code": 0},
        "PUT /open-apis/cardkit/v1/cards/7:1/elements/answer/content": {"code": 0},
        "POST /open-apis/ephemeral/v1/send": {"code": 0, "data": {"message_id": "om_e"}},
    }
    for request in (create("u-1"), patch(), content(), ephemeral()):
        await sender.call(spec, request)
    await sender.send(spec, text(), name(), None)
    await sender.update(spec, "om_1", "interactive", "{}")
    await sender.ephemeral(spec, "oc_1", "ou_1", {})
    used = {
        keys.limit_app("cli_a", "im.message.create"): 2,
        keys.limit_app("cli_a", "im.message.patch"): 2,
        keys.limit_app("cli_a", "cardkit.card_element.content"): 1,
        keys.limit_app("cli_a", "ephemeral.send"): 2,
        keys.limit_chat("oc_1"): 2,
        keys.limit_message("om_1"): 2,
        keys.limit_card("7:1"): 1,
        keys.limit_ephemeral("oc_1"): 2,
    }
    assert {key: await link.commands.zcard(key) for key in used} == used


@pytest.mark.parametrize("absolute", [False, True], ids=["path", "address"])
async def test_an_id_in_the_path_makes_no_bound_of_its_own(
    sender: Sender, feishu: StandIn, spec: BotSpec, link: RedisLink, keys: Keys, absolute: bool
) -> None:
    places = ("oc_111/members", "oc_abc/members", "ann@example.com/members")
    for place in places:
        path = f"/open-apis/im/v1/chats/{place}"
        feishu.answers[f"GET {path}"] = {"code": 0}
        uri = (spec.credentials.base_url if absolute else "") + path
        asked = BaseRequest.builder().http_method(lark.HttpMethod.GET).uri(f"{uri}?page_size=10")
        await sender.call(spec, asked.token_types({lark.AccessTokenType.TENANT}).build())
    api = "GET /open-apis/im/v1/chats/:id/members"
    assert await link.commands.zcard(keys.limit_app("cli_a", api)) == len(places)


async def test_a_file_comes_as_lark_oapi_gives_it(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["GET /open-apis/im/v1/messages/om_1/resources/f_1"] = lambda seen: web.Response(
        body=b"%PDF",
        content_type="application/pdf",
        headers={"Content-Disposition": 'attachment; filename="a.pdf"'},
    )
    request = GetMessageResourceRequest.builder().message_id("om_1").file_key("f_1").type("file").build()
    response = await sender.call(spec, request)
    assert response.success()
    assert response.file.read() == b"%PDF"
    assert response.file_name == "a.pdf"


async def test_a_file_is_uploaded_and_can_be_sent_again(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["POST /open-apis/im/v1/files"] = {"code": 0, "data": {"file_key": "file_1"}}
    body = CreateFileRequestBody.builder().file_type("pdf").file_name("a.pdf").file(io.BytesIO(b"%PDF")).build()
    request = CreateFileRequest.builder().request_body(body).build()
    for _ in range(2):
        assert (await sender.call(spec, request)).data.file_key == "file_1"
    seen = feishu.seen[-1]
    assert seen.headers["Content-Type"].startswith("multipart/form-data")
    assert b"%PDF" in seen.body
    assert b'name="file_type"\r\n\r\npdf' in seen.body


async def test_a_post_without_a_uuid_is_not_repeated(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.faults.append(Fault("lost_after"))
    with pytest.raises(OutcomeUnknown):
        await sender.call(spec, create(uuid=""))
    feishu.faults.append(Fault("lost_after"))
    await sender.call(spec, create(uuid="u-2"))
    assert len(feishu.said) == 2


async def test_an_error_is_the_hubs(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.faults.append(Fault("code", code=99991672))
    with pytest.raises(FeishuRefused, match="scope"):
        await sender.call(spec, listing())


async def test_the_bots_token_stays_with_feishu(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    request = raw()
    request.uri = "https://elsewhere.example/steal"
    with pytest.raises(FeishuRefused, match="only"):
        await sender.call(spec, request)
    request.uri = f"{feishu.url}/open-apis/interactive/v1/card/update"
    feishu.answers["POST /open-apis/interactive/v1/card/update"] = {"code": 0}
    assert (await sender.call(spec, request)).success()


async def test_an_authors_own_token_is_used(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    request = raw()
    request.token_types = {lark.AccessTokenType.USER}
    with pytest.raises(FeishuRefused, match="user's access token"):
        await sender.call(spec, request)
    request.headers = {"Authorization": "Bearer u-1"}
    feishu.good.add("u-1")
    feishu.answers["POST /open-apis/interactive/v1/card/update"] = {"code": 0}
    await sender.call(spec, request)
    assert feishu.seen[-1].headers["Authorization"] == "Bearer u-1"
    assert feishu.issued == 0


async def test_what_is_no_request_is_an_authors_error(sender: Sender, spec: BotSpec) -> None:
    with pytest.raises(TypeError, match="lark-oapi request"):
        await sender.call(spec, {"uri": "/x"})


async def test_our_sends_have_the_form_of_lark_oapis(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    uuid = name().uuid
    await sender.call(spec, create(uuid))
    feishu.said.clear()
    await sender.send(spec, Outbound(Target("chat_id", "oc_1"), "text", '{"text":"你好"}'), name(), None)
    theirs, ours = feishu.calls("/messages")
    assert as_sent(ours) == as_sent(theirs)


async def test_importing_the_channel_does_not_import_lark_oapi() -> None:
    code = "import sys, app.channel.sender; assert not [m for m in sys.modules if m.startswith('lark_oapi')]"
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert text().msg_type == "text"
