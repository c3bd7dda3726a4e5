"""The real lark-oapi talks to the playground, and takes its deliveries for Feishu's."""

from __future__ import annotations

import asyncio
import io
import json
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.control.playground import App, Chat, Playground, Said, User
from app.control.playground.server import Server
from app.control.playground.wire import Answer, Request

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lark_oapi as lark
    from lark_oapi.api.cardkit.v1 import ContentCardElementRequest, ContentCardElementRequestBody
    from lark_oapi.api.cardkit.v1 import CreateCardRequest as CreateEntityRequest
    from lark_oapi.api.cardkit.v1 import CreateCardRequestBody as CreateEntityBody
    from lark_oapi.api.im.v1 import (
        CreateFileRequest,
        CreateFileRequestBody,
        CreateImageRequest,
        CreateImageRequestBody,
        CreateMessageReactionRequest,
        CreateMessageReactionRequestBody,
        CreateMessageRequest,
        CreateMessageRequestBody,
        DeleteMessageRequest,
        Emoji,
        GetMessageRequest,
        GetMessageResourceRequest,
        PatchMessageRequest,
        PatchMessageRequestBody,
        ReplyMessageRequest,
        ReplyMessageRequestBody,
        UpdateMessageRequest,
        UpdateMessageRequestBody,
    )
    from lark_oapi.core.token import TokenManager
    from lark_oapi.event.callback.model.p2_card_action_trigger import P2CardActionTriggerResponse

ENCRYPT_KEY, TOKEN = "hub-encrypt-key-0001", "hub-verify-token-0001"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


class Dispatcher:
    """lark-oapi's own event dispatcher behind an HTTP server."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.types: list[str] = []
        self.refused: list[bytes] = []
        self.url = ""
        self._server = Server(self._handle)
        builder = lark.EventDispatcherHandler.builder(ENCRYPT_KEY, TOKEN)
        self._handler = (
            builder.register_p2_im_message_receive_v1(self._on_message)
            .register_p2_im_message_reaction_created_v1(lambda event: self.types.append(event.header.event_type))
            .register_p2_im_message_recalled_v1(lambda event: self.types.append(event.header.event_type))
            .register_p2_card_action_trigger(self._on_card)
            .register_p1_customized_event("app_ticket", lambda event: self.types.append(event.type or "app_ticket"))
            .build()
        )

    async def start(self) -> None:
        self.url = await self._server.start("127.0.0.1", 0)

    async def close(self) -> None:
        await self._server.close()

    async def _handle(self, request: Request) -> Answer:
        raw = lark.RawRequest()
        raw.uri, raw.body = request.path, request.body
        raw.headers = {"-".join(p.capitalize() for p in name.split("-")): v for name, v in request.headers.items()}
        answer = self._handler.do(raw)
        if answer.status_code != 200:
            self.refused.append(answer.content)
        return Answer(answer.status_code, answer.content)

    def _on_message(self, event: Any) -> None:
        self.texts.append(json.loads(event.event.message.content)["text"])

    def _on_card(self, event: Any) -> Any:
        return P2CardActionTriggerResponse({"toast": {"type": "info", "content": event.event.action.value["cmd"]}})


class Scene:
    """A playground on loopback, an app in it, a client of the real SDK for that app."""

    def __init__(self, playground: Playground, hub: Dispatcher, app: App, user: User, chat: Chat, client: Any) -> None:
        self.playground, self.hub, self.app, self.user, self.chat, self.client = (
            playground,
            hub,
            app,
            user,
            chat,
            client,
        )

    async def says(self, text: str) -> Said:
        said = await self.playground.user_says(self.user, self.chat, text)
        await said.settled()
        return said


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    hub = Dispatcher()
    await hub.start()
    async with Playground() as playground:
        url = await playground.start()
        app = playground.add_app("cli_a000000000000001", "secret", "Helper", ENCRYPT_KEY, TOKEN, hub.url, hub.url)
        user = playground.add_user("Ann")
        TokenManager.cache.set(f"self_tenant_token:{app.app_id}", "", 0)  # it outlives tests: it is the process's
        client = lark.Client.builder().app_id(app.app_id).app_secret("secret").domain(url).build()
        yield Scene(playground, hub, app, user, playground.p2p_chat(app, user), client)
    await hub.close()


def text_to(chat: Chat, text: str, uuid: str = "") -> Any:
    body = CreateMessageRequestBody.builder().receive_id(chat.chat_id).msg_type("text")
    body = body.content(json.dumps({"text": text})).uuid(uuid or None)
    return CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.build()).build()


async def test_the_sync_client_sends_changes_reads_and_recalls(scene: Scene) -> None:
    said = await scene.says("你好")
    messages = scene.client.im.v1.message
    created = await asyncio.to_thread(messages.create, text_to(scene.chat, "hi", "uuid-1"))
    assert created.success(), created.msg
    repeated = await asyncio.to_thread(messages.create, text_to(scene.chat, "hi", "uuid-1"))
    assert repeated.data.message_id == created.data.message_id
    body = ReplyMessageRequestBody.builder().msg_type("text").content('{"text":"yes"}').build()
    request = ReplyMessageRequest.builder().message_id(said.message_id).request_body(body).build()
    replied = await asyncio.to_thread(messages.reply, request)
    assert (replied.code, replied.data.parent_id) == (0, said.message_id)
    change = UpdateMessageRequestBody.builder().msg_type("text").content('{"text":"no"}').build()
    request = UpdateMessageRequest.builder().message_id(replied.data.message_id).request_body(change).build()
    assert (await asyncio.to_thread(messages.update, request)).success()
    request = GetMessageRequest.builder().message_id(replied.data.message_id).build()
    read = await asyncio.to_thread(messages.get, request)
    assert json.loads(read.data.items[0].body.content) == {"text": "no"}
    request = DeleteMessageRequest.builder().message_id(replied.data.message_id).build()
    assert (await asyncio.to_thread(messages.delete, request)).success()
    assert scene.hub.refused == []
    assert scene.hub.texts == ["你好"]


async def test_the_async_client_sends_patches_and_reacts(scene: Scene) -> None:
    messages = scene.client.im.v1.message
    # Its token fetch blocks the loop on which the playground answers: the sync way fetches it in a thread.
    await asyncio.to_thread(messages.create, text_to(scene.chat, "warm"))
    card = {"schema": "2.0", "config": {"update_multi": True}, "body": {"elements": [{"tag": "hr"}]}}
    body = CreateMessageRequestBody.builder().receive_id(scene.chat.chat_id).msg_type("interactive")
    request = CreateMessageRequest.builder().receive_id_type("chat_id")
    created = await messages.acreate(request.request_body(body.content(json.dumps(card)).build()).build())
    assert created.success(), created.msg
    patch = PatchMessageRequestBody.builder().content(json.dumps(card)).build()
    message_id = created.data.message_id
    patched = await messages.apatch(PatchMessageRequest.builder().message_id(message_id).request_body(patch).build())
    assert patched.success(), patched.msg
    reaction = CreateMessageReactionRequestBody.builder().reaction_type(Emoji.builder().emoji_type("SMILE").build())
    request = CreateMessageReactionRequest.builder().message_id(message_id).request_body(reaction.build()).build()
    reacted = await scene.client.im.v1.message_reaction.acreate(request)
    assert reacted.data.reaction_id
    await scene.playground.deliveries.settle()
    assert scene.hub.types == ["im.message.reaction.created_v1"]


async def test_uploads_and_downloads(scene: Scene) -> None:
    image = CreateImageRequestBody.builder().image_type("message").image(io.BytesIO(PNG)).build()
    request = CreateImageRequest.builder().request_body(image).build()
    uploaded = await asyncio.to_thread(scene.client.im.v1.image.create, request)
    assert uploaded.data is not None, uploaded.msg
    image = CreateImageRequestBody.builder().image_type("message").image(io.BytesIO(PNG)).build()
    again = await scene.client.im.v1.image.acreate(CreateImageRequest.builder().request_body(image).build())
    assert again.success(), again.msg
    file = CreateFileRequestBody.builder().file_type("stream").file_name("名.txt").file(io.BytesIO(b"content")).build()
    stored = await asyncio.to_thread(
        scene.client.im.v1.file.create, CreateFileRequest.builder().request_body(file).build()
    )
    assert stored.success(), stored.msg
    key = scene.playground.add_attachment(scene.user, "a.txt", b"attached")
    said = await scene.playground.user_sends(
        scene.user, scene.chat, "file", json.dumps({"file_key": key, "file_name": "a.txt"})
    )
    request = GetMessageResourceRequest.builder().message_id(said.message_id).file_key(key).type("file").build()
    got = await asyncio.to_thread(scene.client.im.v1.message_resource.get, request)
    assert (got.file.read(), got.file_name) == (b"attached", "a.txt")


async def test_a_typing_card(scene: Scene) -> None:
    data = {
        "schema": "2.0",
        "config": {"streaming_mode": True},
        "body": {"elements": [{"tag": "markdown", "content": "", "element_id": "md"}]},
    }
    body = CreateEntityBody.builder().type("card_json").data(json.dumps(data)).build()
    request = CreateEntityRequest.builder().request_body(body).build()
    made = await asyncio.to_thread(scene.client.cardkit.v1.card.create, request)
    assert made.success(), made.msg
    typed = ContentCardElementRequestBody.builder().content("Hello").sequence(1).uuid("u1").build()
    request = (
        ContentCardElementRequest.builder().card_id(made.data.card_id).element_id("md").request_body(typed).build()
    )
    assert (await asyncio.to_thread(scene.client.cardkit.v1.card_element.content, request)).success()


async def test_its_dispatcher_takes_callbacks_and_old_events(scene: Scene) -> None:
    button = {
        "tag": "button",
        "name": "go",
        "text": {"tag": "plain_text", "content": "Go"},
        "value": {"cmd": "approve"},
    }
    card = json.dumps({"config": {"update_multi": True}, "elements": [{"tag": "action", "actions": [button]}]})
    body = CreateMessageRequestBody.builder().receive_id(scene.chat.chat_id).msg_type("interactive").content(card)
    request = CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.build()).build()
    created = await asyncio.to_thread(scene.client.im.v1.message.create, request)
    clicked = await scene.playground.click(scene.user, created.data.message_id, "go")
    assert (clicked.code, clicked.toast) == (0, {"type": "info", "content": "approve"})
    await scene.playground.deliver(scene.app, "app_ticket", {"app_ticket": "t"}, schema="1.0")
    await scene.playground.deliveries.settle()
    assert await scene.playground.challenge(scene.app)
    assert scene.hub.refused == []


async def test_limits_and_wrong_credentials_are_told_to_the_client(scene: Scene) -> None:
    messages = scene.client.im.v1.message
    codes = [(await asyncio.to_thread(messages.create, text_to(scene.chat, str(n)))).code for n in range(6)]
    assert codes == [0, 0, 0, 0, 0, 230020]
    scene.playground.faults.add("code", code=99991400, status=429, headers={"x-ogw-ratelimit-reset": "3"})
    limited = await asyncio.to_thread(messages.create, text_to(scene.chat, "x"))
    assert (limited.code, limited.raw.status_code, limited.raw.headers["x-ogw-ratelimit-reset"]) == (
        99991400,
        429,
        "3",
    )
    TokenManager.cache.set(f"self_tenant_token:{scene.app.app_id}", "", 0)
    scene.app.app_secret = "another"
    with pytest.raises(lark.exception.ObtainAccessTokenException if hasattr(lark, "exception") else Exception):
        await asyncio.to_thread(messages.create, text_to(scene.chat, "x"))
