"""Turns what a person writes into a message and into one event for every bot that may hear it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import orjson

from app.control.playground.content import AT, content_for
from app.control.playground.world import TENANT, App, Chat, Mention, Message, User, World

Everyone = Literal["all"]


def write(text: str, mention: Sequence[App | User | Everyone]) -> tuple[str, list[Mention]]:
    """The text with placeholders, and who they stand for; names not in the text are put in front of it."""
    mentions: list[Mention] = []
    front: list[str] = []
    for who in mention:
        key = "@_all" if who == "all" else f"@_user_{len(mentions) + 1}"
        name = "所有人" if who == "all" else who.name
        mentions.append(Mention(key, None if who == "all" else who))
        if f"@{name}" in text:
            text = text.replace(f"@{name}", key, 1)
        else:
            front.append(key)
    return " ".join([*front, text]).strip(), mentions


def hearers(message: Message) -> list[App]:
    """The apps that get an event of a message: all of the chat, or those it names, as each app's scopes have it."""
    named = {id(mention.who) for mention in message.mentions}
    everyone = any(mention.who is None for mention in message.mentions)
    found = []
    for app in message.chat.apps:
        if app is message.sender:
            continue
        mentioned = id(app) in named or everyone
        if isinstance(message.sender, App):
            hears = app.hears_bots and mentioned
        else:
            hears = message.chat.kind == "p2p" or app.group_messages == "all" or mentioned
        if hears and (app.subscriptions is None or "im.message.receive_v1" in app.subscriptions):
            found.append(app)
    return found


def received(world: World, app: App, message: Message) -> dict[str, Any]:
    """The body of `im.message.receive_v1` as one app gets it: its own open ids, its own mentions."""
    stamp = str(int(message.created * 1000))
    body: dict[str, Any] = {
        "message_id": message.message_id,
        "create_time": stamp,
        "update_time": stamp,
        "chat_id": message.chat.chat_id,
        "chat_type": message.chat.kind,
        "message_type": message.msg_type,
        "content": content_for(message, world, app),
    }
    if message.parent:
        body["root_id"], body["parent_id"] = message.root, message.parent
    if message.thread:
        body["thread_id"] = message.thread
    if message.mentions:
        body["mentions"] = [_mention(world, app, mention) for mention in message.mentions]
    sender = message.sender
    return {
        "sender": {
            "sender_id": ids(world, app, sender),
            "sender_type": "bot" if isinstance(sender, App) else "user",
            "tenant_key": TENANT,
        },
        "message": body,
    }


def ids(world: World, app: App, who: App | User) -> dict[str, str]:
    """The three ids of someone as an app sees them; bots have no user_id."""
    if isinstance(who, App):
        return {"union_id": f"on_{who.app_id}", "user_id": "", "open_id": world.open_id(app, who)}
    return {"union_id": who.union_id, "user_id": who.user_id, "open_id": world.open_id(app, who)}


def text_content(text: str) -> str:
    """The content string of a text message."""
    return orjson.dumps({"text": text}).decode()


def shown_text(world: World, message: Message) -> str:
    """A text message as people read it, with names for placeholders; empty for other types."""
    if message.msg_type != "text":
        return ""
    text: str = orjson.loads(message.content).get("text", "")
    if isinstance(message.sender, App):
        named = {world.open_id(message.sender, m.who): m.who.name for m in message.mentions if m.who is not None}
        return AT.sub(lambda match: f"@{named.get(match[1], match[2] or '所有人')}", text)
    for mention in reversed(message.mentions):
        text = text.replace(mention.key, f"@{mention.who.name if mention.who else '所有人'}")
    return text


def chat_event(world: World, app: App, chat: Chat, operator: User) -> dict[str, Any]:
    """What the events about a bot's coming to and leaving a group have in common."""
    return {
        "chat_id": chat.chat_id,
        "operator_id": ids(world, app, operator),
        "external": False,
        "operator_tenant_key": TENANT,
        "name": chat.name,
        "i18n_names": {"zh_cn": chat.name, "en_us": chat.name, "ja_jp": ""},
    }


def _mention(world: World, app: App, mention: Mention) -> dict[str, Any]:
    who = mention.who
    if who is None:
        return {
            "key": mention.key,
            "id": {"union_id": "", "user_id": "", "open_id": ""},
            "name": "所有人",
            "tenant_key": "",
        }
    return {
        "key": mention.key,
        "id": ids(world, app, who),
        "mentioned_type": "bot" if isinstance(who, App) else "user",
        "name": who.name,
        "tenant_key": TENANT,
    }
