"""Events as Feishu sends them, made up for an author's tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.core.clock import SYSTEM_CLOCK
from app.model.event import MESSAGE_TYPE, Event
from app.sdk.body import mapping, string
from app.sdk.me import Me


def message_event(
    number: int,
    me: Me,
    *,
    kind: str,
    content: Mapping[str, Any],
    chat: str,
    user: str,
    group: bool,
    mention: bool,
    sender_type: str,
    thread: str,
    message_id: str,
) -> Event:
    """A received message; in a group with `mention`, one that mentions the bot in front of the text."""
    body: dict[str, Any] = {
        "message_id": message_id or f"om_{number}",
        "create_time": str(int(SYSTEM_CLOCK.now() * 1000)),
        "chat_id": chat,
        "chat_type": "group" if group else "p2p",
        "message_type": kind,
    }
    if group and mention:
        body["mentions"] = [
            {"key": "@_user_1", "id": {"open_id": me.open_id}, "mentioned_type": "bot", "name": me.name}
        ]
        if kind == "text":
            content = {**content, "text": f"@_user_1 {content['text']}"}
    if thread:
        body["thread_id"] = thread
    body["content"] = json.dumps(content, ensure_ascii=False)
    sender = {"sender_id": {"open_id": user}, "sender_type": sender_type}
    return _event(
        number,
        MESSAGE_TYPE,
        {"sender": sender, "message": body},
        chat=chat,
        user=user,
        message=body["message_id"],
        thread=thread,
    )


def card_event(number: int, action: Mapping[str, Any], *, chat: str, user: str, message_id: str) -> Event:
    """An action on a card."""
    body = {
        "operator": {"open_id": user},
        "token": f"c-{number}",
        "action": action,
        "host": "im_message",
        "context": {"open_message_id": message_id, "open_chat_id": chat},
    }
    return _event(number, "card.action.trigger", body, chat=chat, user=user, message=message_id)


def preview_event(number: int, url: str, *, chat: str, user: str) -> Event:
    """A link that wants to be shown."""
    context = {
        "url": url,
        "preview_token": f"pt-{number}",
        "open_message_id": f"om_{number}",
        "open_chat_id": chat,
    }
    body = {"operator": {"open_id": user}, "host": "im_message", "context": context}
    return _event(number, "url.preview.get", body, chat=chat, user=user, message=f"om_{number}")


def other_event(number: int, type: str, body: Mapping[str, Any]) -> Event:
    """Any other event; chat, user and message are read from the places where Feishu's events have them."""
    user = string(mapping(body, "operator_id"), "open_id")
    for place in ("user_id", "operator"):
        user = user or string(mapping(body, place), "open_id")
    return _event(number, type, body, chat=string(body, "chat_id"), user=user, message=string(body, "message_id"))


def _event(
    number: int, type: str, body: Mapping[str, Any], *, chat: str, user: str, message: str, thread: str = ""
) -> Event:
    return Event(
        id=f"ev_{number}",
        type=type,
        schema="2.0",
        app_id="cli_test",
        tenant_key="tenant",
        created=SYSTEM_CLOCK.now(),
        chat_id=chat,
        user_id=user,
        message_id=message,
        thread_id=thread,
        body=body,
    )
