"""Sending: create and reply, each uuid once, each chat within its limit."""

from __future__ import annotations

from typing import Any, Final

import orjson

from app.control.playground.ask import Ask, text_field
from app.control.playground.cards import not_created
from app.control.playground.content import check_content, mentions_in
from app.control.playground.receivers import BAD_PARAMETER, may_speak, receiver, standing
from app.control.playground.uuids import LONGEST
from app.control.playground.wire import Refusal
from app.control.playground.world import TENANT, App, Chat, Message, World

NOT_VISIBLE: Final = 230050


def create(ask: Ask) -> dict[str, Any]:
    """POST im/v1/messages."""
    document = ask.json()
    name = text_field(document, "receive_id", BAD_PARAMETER)
    ask.call.target = name
    _note(ask, document)
    chat = receiver(ask.desk.world, ask.app, ask.request.query.get("receive_id_type", ""), name)
    return _send(ask, document, chat, None)


def reply(ask: Ask) -> dict[str, Any]:
    """POST im/v1/messages/:message_id/reply; 230011 where the message was recalled."""
    document = ask.json()
    ask.call.target = ask.params[0]
    _note(ask, document)
    message = standing(ask.desk.world, ask.app, ask.params[0])
    ask.call.chat_id = message.chat.chat_id
    if message.only_for is not None:
        raise Refusal(NOT_VISIBLE, "The message is invisible to the operator.")
    may_speak(ask.app, message.chat)
    if not isinstance(document.get("reply_in_thread", False), bool):
        raise Refusal(BAD_PARAMETER, "Invalid parameter value: reply_in_thread must be a boolean")
    return _send(ask, document, message.chat, message)


def _note(ask: Ask, document: dict[str, Any]) -> None:
    """Let the ledger know the request before anything can refuse it."""
    for name in ("uuid", "msg_type", "content"):
        value = document.get(name)
        if isinstance(value, str):
            setattr(ask.call, name, value)


def _send(ask: Ask, document: dict[str, Any], chat: Chat, reply_to: Message | None) -> dict[str, Any]:
    desk, app = ask.desk, ask.app
    ask.call.chat_id = chat.chat_id
    uuid = text_field(document, "uuid", BAD_PARAMETER, required=False)
    if len(uuid) > LONGEST:
        raise Refusal(BAD_PARAMETER, f"Invalid parameter value: uuid has more than {LONGEST} characters")
    msg_type = text_field(document, "msg_type", BAD_PARAMETER)
    content = check_content(desk.world, app, chat, msg_type, document.get("content"))
    if uuid:
        earlier = desk.uuids.seen(app.app_id, chat.chat_id, uuid)
        if earlier is not None:
            ask.call.repeated = True
            ask.call.message_id = earlier.message_id
            return message_data(desk.world, app, earlier)
    if chat.kind == "group":
        desk.limits.target("chat", chat.chat_id)
    else:
        desk.limits.target("user", chat.users[0].user_id)
    card_id = _entity(ask, content) if msg_type == "interactive" else ""
    message = desk.world.add_message(
        chat,
        app,
        msg_type,
        document["content"],
        uuid=uuid,
        reply_to=reply_to,
        in_thread=document.get("reply_in_thread") is True,
        mentions=mentions_in(desk.world, app, msg_type, content),
    )
    if card_id:
        desk.entities.attach(card_id, message)
    elif content.get("type") == "template" and msg_type == "interactive":
        message.content = orjson.dumps(desk.world.templates[content["data"]["template_id"]]).decode()
    desk.ledger.accept(ask.call, message)
    if uuid:
        key = desk.uuids.remember(app.app_id, chat.chat_id, uuid, message)
        ask.afterwards.append(lambda: desk.uuids.settle(key))
    desk.feed.put(lambda: {"type": "message", "message_id": message.message_id, "chat_id": chat.chat_id})
    if message.mentions:
        desk.bot_spoke(message)
    return message_data(desk.world, app, message)


def _entity(ask: Ask, content: dict[str, Any]) -> str:
    """The card entity that the content names, ready to be sent; empty for other cards."""
    if content.get("type") != "card":
        return ""
    data = content.get("data")
    card_id = data.get("card_id") if isinstance(data, dict) else None
    fault = ask.desk.entities.unsendable(card_id, ask.app)
    if fault is not None:
        raise not_created(*fault)
    return str(card_id)


def message_data(world: World, reader: App, message: Message, content: str | None = None) -> dict[str, Any]:
    """A message as the API gives it back."""
    created = str(int(message.created * 1000))
    data: dict[str, Any] = {
        "message_id": message.message_id,
        "msg_type": message.msg_type,
        "create_time": created,
        "update_time": str(int(message.updated * 1000)) if message.updated is not None else created,
        "deleted": message.recalled,
        "updated": message.updated is not None,
        "chat_id": message.chat.chat_id,
        "sender": _sender(world, reader, message),
        "body": {"content": message.content if content is None else content},
    }
    if message.parent:
        data["root_id"], data["parent_id"] = message.root, message.parent
    if message.thread:
        data["thread_id"] = message.thread
    mentions = [
        {
            "key": mention.key,
            "id": world.open_id(reader, mention.who),
            "id_type": "open_id",
            "name": mention.who.name,
            "tenant_key": TENANT,
        }
        for mention in message.mentions
        if mention.who is not None
    ]
    if mentions:
        data["mentions"] = mentions
    return data


def _sender(world: World, reader: App, message: Message) -> dict[str, Any]:
    sender = message.sender
    if isinstance(sender, App):
        return {"id": sender.app_id, "id_type": "app_id", "sender_type": "app", "tenant_key": TENANT}
    return {
        "id": world.open_id(reader, sender),
        "id_type": "open_id",
        "sender_type": "user",
        "tenant_key": TENANT,
    }
