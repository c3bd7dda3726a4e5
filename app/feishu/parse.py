"""Reads schema 1.0, schema 2.0 and legacy card payloads into the one Event."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from app.core.errors import BadRequest
from app.model.bot import Conversation
from app.model.event import MESSAGE_TYPE, Event

LEGACY_CARD_TYPE: Final = "card.action.trigger_v1"

# Feishu's ids are under 64 characters; they become parts of Redis keys and database columns.
_LONGEST_ID: Final = 256
_INSTANT: Final = re.compile(r"\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_MASK: Final = "***"
# Units are told apart by size: as seconds these bounds are the year 5138, as the next finer unit 1973.
_LARGEST_SECONDS: Final = 1e11
_LARGEST_MILLISECONDS: Final = 1e14


def parse_event(document: Mapping[str, Any], *, raw: bytes) -> Event:
    """The event in `document`, or BadRequest; `raw` is the same JSON as bytes: its hash names a legacy card."""
    header = document.get("header")
    if isinstance(header, dict):
        return _schema_2(header, _part(document.get("event")))
    if is_legacy_card(document):
        return _legacy_card(document, raw)
    if document.get("type") == "event_callback":
        return _schema_1(document, _part(document.get("event")))
    raise BadRequest("the body is not a Feishu event: it has neither a header nor the type event_callback")


def is_event(document: Mapping[str, Any]) -> bool:
    """Whether it has the outer shape of an event, whoever sent it."""
    return (
        isinstance(document.get("header"), dict) or document.get("type") == "event_callback" or is_legacy_card(document)
    )


def is_legacy_card(document: Mapping[str, Any]) -> bool:
    """Whether it has the flat shape of `card.action.trigger_v1`, which names neither schema nor type."""
    return (
        "open_message_id" in document
        and isinstance(document.get("action"), dict)
        and not document.keys() & {"schema", "header", "type", "event"}
    )


def token_of(document: Mapping[str, Any]) -> str:
    """The verification token in it, or an empty string; a legacy card has none: its `token` is the card's."""
    header = document.get("header")
    if isinstance(header, dict):
        return _text(header.get("token"))
    return "" if is_legacy_card(document) else _text(document.get("token"))


def without_token(document: Any) -> Any:
    """A copy to be shown to people: the verification token in it, which is a secret of the app, is masked."""
    if not isinstance(document, Mapping):
        return document
    shown = dict(document)
    if "event" in shown and "token" in shown:
        shown["token"] = _MASK
    if isinstance(header := shown.get("header"), Mapping) and "token" in header:
        shown["header"] = {**header, "token": _MASK}
    return shown


def app_id_of(document: Mapping[str, Any]) -> str:
    """The app it is meant for, or an empty string where it does not say (legacy cards, some 1.0 events)."""
    header = document.get("header")
    if isinstance(header, dict):
        return _text(header.get("app_id"))
    event = document.get("event")
    return _text(event.get("app_id")) if isinstance(event, dict) else ""


def conversation_of(event: Event, mode: Conversation) -> str:
    """What the event is kept in order with, as `conversation` says: chat, else user, else event type."""
    if mode == "none":
        return event.id
    if mode == "sender" and event.user_id:
        return event.user_id
    if mode == "thread" and event.thread_id and event.chat_id:
        return f"{event.chat_id}/{event.thread_id}"
    return event.chat_id or event.user_id or event.type


def dedup_identity(event: Event) -> str:
    """What makes it the same event again: the message id of a received message, else the event id."""
    return event.message_id if event.message_id and event.type == MESSAGE_TYPE else event.id


def parse_instant(value: object) -> float | None:
    """Seconds since the epoch, from seconds, milliseconds or microseconds by size; None if no number."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        if _INSTANT.fullmatch(value) is None:
            return None
        number = float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e20:
        number = float(value)
    else:
        return None
    if number < _LARGEST_SECONDS:
        return number
    return number / 1e3 if number < _LARGEST_MILLISECONDS else number / 1e6


def _schema_2(header: Mapping[str, Any], body: Mapping[str, Any]) -> Event:
    kind = _required(header, "event_type")
    message = body.get("message")
    if kind == MESSAGE_TYPE and isinstance(message, dict):
        sender = body.get("sender")
        chat_id, message_id = _id(message.get("chat_id")), _id(message.get("message_id"))
        thread_id = _id(message.get("thread_id"))
        user_id = _open_id(sender.get("sender_id")) if isinstance(sender, dict) else ""
    else:
        chat_id, message_id = _chat(body), _message(body)
        thread_id, user_id = _id(body.get("thread_id")), _user(body)
    return Event(
        _required(header, "event_id"),
        kind,
        "2.0",
        _id(header.get("app_id")),
        _id(header.get("tenant_key")),
        parse_instant(header.get("create_time")),
        chat_id,
        user_id,
        message_id,
        thread_id,
        body,
    )


def _schema_1(document: Mapping[str, Any], body: Mapping[str, Any]) -> Event:
    return Event(
        id=_required(document, "uuid"),
        type=_required(body, "type"),
        schema="1.0",
        app_id=_id(body.get("app_id")),
        tenant_key=_id(body.get("tenant_key")),
        created=parse_instant(document.get("ts")),
        chat_id=_chat(body),
        user_id=_user(body),
        message_id=_message(body),
        thread_id=_id(body.get("thread_id")),
        body=body,
    )


def _legacy_card(document: Mapping[str, Any], raw: bytes) -> Event:
    return Event(
        id=hashlib.sha256(raw).hexdigest()[:32],
        type=LEGACY_CARD_TYPE,
        schema="card",
        app_id="",
        tenant_key=_id(document.get("tenant_key")),
        created=None,
        chat_id=_chat(document),
        user_id=_user(document),
        message_id=_message(document),
        thread_id="",
        body=document,
    )


def _part(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest("the body is not a Feishu event: `event` is not an object")
    return value


def _required(part: Mapping[str, Any], key: str) -> str:
    value = _id(part.get(key))
    if not value:
        raise BadRequest(f"the body is not a Feishu event: `{key}` is missing or no id")
    return value


def _chat(body: Mapping[str, Any]) -> str:
    found = body.get("chat_id") or body.get("open_chat_id")
    if not found and isinstance(context := body.get("context"), dict):
        found = context.get("open_chat_id")
    return _id(found)


def _message(body: Mapping[str, Any]) -> str:
    found = body.get("message_id") or body.get("open_message_id")
    if not found and isinstance(context := body.get("context"), dict):
        found = context.get("open_message_id")
    return _id(found)


def _user(body: Mapping[str, Any]) -> str:
    """The open_id of who did it, wherever this type of event has it (Feishu docs: Other events)."""
    if found := _id(body.get("open_id")):
        return found
    for key in ("operator", "operator_id", "user_id", "reader", "sender", "user"):
        who = body.get(key)
        if not isinstance(who, dict):
            continue
        for inner in (who, who.get("operator_id"), who.get("reader_id"), who.get("sender_id")):
            if found := _open_id(inner):
                return found
    return ""


def _open_id(who: object) -> str:
    return _id(who.get("open_id")) if isinstance(who, dict) else ""


def _id(value: object) -> str:
    """The value if it can be an id, else an empty string: control characters break keys, logs and columns."""
    return value if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_ID else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
