"""Real payloads, read by the hub's own parser, for the tests of the SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.feishu.parse import parse_event
from app.model.event import Event
from app.sdk.me import Me
from app.sdk.message import Message

ME = Me(open_id="ou_bot1", owners=("ou_boss",), name="HubBot")

BOT_MENTION = {
    "key": "@_user_1",
    "id": {"union_id": "on_bot1", "user_id": "", "open_id": "ou_bot1"},
    "mentioned_type": "bot",
    "name": "HubBot",
    "tenant_key": "t1",
}
TOM_MENTION = {
    "key": "@_user_2",
    "id": {"union_id": "on_0002", "user_id": "u0002", "open_id": "ou_0002"},
    "mentioned_type": "user",
    "name": "Tom",
    "tenant_key": "t1",
}


def event_of(type: str, body: Mapping[str, Any]) -> Event:
    """A schema 2.0 event as the gateway reads it."""
    header = {
        "event_id": "ev1",
        "event_type": type,
        "create_time": "1700000000000",
        "app_id": "cli_a",
        "token": "vt",
    }
    document = {"schema": "2.0", "header": header, "event": body}
    return parse_event(document, raw=json.dumps(document).encode())


def message_event(
    content: Mapping[str, Any] | str,
    *,
    kind: str = "text",
    group: bool = False,
    mentions: list[dict[str, Any]] | None = None,
    sender: str = "ou_0001",
    sender_type: str = "user",
) -> Event:
    """`im.message.receive_v1`; a string is the text of a text message."""
    document = {"text": content} if isinstance(content, str) else content
    message: dict[str, Any] = {
        "message_id": "om_0002",
        "root_id": "om_0000",
        "thread_id": "omt_0001",
        "create_time": "1700000001000",
        "chat_id": "oc_0002",
        "chat_type": "group" if group else "p2p",
        "message_type": kind,
        "content": json.dumps(document),
    }
    if mentions is not None:
        message["mentions"] = mentions
    who = {"sender_id": {"union_id": "on_1", "user_id": "u1", "open_id": sender}, "sender_type": sender_type}
    return event_of("im.message.receive_v1", {"sender": who, "message": message})


def message(content: Mapping[str, Any] | str, **details: Any) -> Message:
    """The same as a handler gets it."""
    return Message.of(message_event(content, **details), ME)
