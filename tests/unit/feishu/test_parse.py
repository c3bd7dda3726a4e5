"""Parsing: every schema and body shape into one event, times by size, and no exception but BadRequest."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BadRequest
from app.feishu.parse import (
    app_id_of,
    conversation_of,
    dedup_identity,
    is_event,
    parse_event,
    parse_instant,
    token_of,
    without_token,
)
from app.model.event import Event
from tests import vectors

HEADER = {
    "event_id": "5e01",
    "create_time": "1700000000000",
    "token": "vt",
    "app_id": "cli_1",
    "tenant_key": "t1",
}
WHO = {"union_id": "on_1", "user_id": "u1", "open_id": "ou_1"}


def parsed(document: dict[str, Any]) -> Event:
    return parse_event(document, raw=orjson.dumps(document))


def schema_2(kind: str, body: Any) -> dict[str, Any]:
    return {"schema": "2.0", "header": {**HEADER, "event_type": kind}, "event": body}


def test_received_message() -> None:
    event = parse_event(orjson.loads(vectors.EVENT_PLAIN), raw=vectors.EVENT_PLAIN)
    assert event.id == "5e3702a84e847582be8db7fb73283c02"
    assert (event.type, event.schema) == ("im.message.receive_v1", "2.0")
    assert (event.app_id, event.tenant_key) == (vectors.APP_ID, "t000000000000001")
    assert (event.chat_id, event.user_id, event.message_id, event.thread_id) == (
        "oc_0001",
        "ou_0001",
        "om_0001",
        "",
    )
    assert event.created == 1700000000.0
    assert event.body["message"]["content"] == '{"text":"你好"}'
    assert not event.is_callback
    assert dedup_identity(event) == "om_0001"


def test_text_is_not_printed() -> None:
    assert "你好" not in repr(parse_event(orjson.loads(vectors.EVENT_PLAIN), raw=vectors.EVENT_PLAIN))


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        (
            "im.message.message_read_v1",
            {"reader": {"reader_id": WHO}, "message_id_list": ["om_9"]},
            ("", "ou_1", ""),
        ),
        ("im.message.recalled_v1", {"message_id": "om_1", "chat_id": "oc_1"}, ("oc_1", "", "om_1")),
        ("im.message.reaction.created_v1", {"message_id": "om_1", "user_id": WHO}, ("", "ou_1", "om_1")),
        ("im.chat.member.bot.added_v1", {"chat_id": "oc_2", "operator_id": WHO}, ("oc_2", "ou_1", "")),
        (
            "im.chat.access_event.bot_p2p_chat_entered_v1",
            {"chat_id": "oc_1", "operator_id": WHO, "last_message_id": "om_0"},
            ("oc_1", "ou_1", ""),
        ),
        ("application.bot.menu_v6", {"operator": {"operator_id": WHO}, "event_key": "k"}, ("", "ou_1", "")),
        (
            "card.action.trigger",
            {
                "operator": WHO,
                "context": {"open_message_id": "om_1", "open_chat_id": "oc_1"},
                "action": {"value": "s"},
            },
            ("oc_1", "ou_1", "om_1"),
        ),
        ("url.preview.get", {"operator": WHO, "context": {"open_chat_id": "oc_1"}}, ("oc_1", "ou_1", "")),
        ("something.new_v9", {}, ("", "", "")),
        ("something.new_v9", None, ("", "", "")),
    ],
)
def test_where_other_events_have_their_ids(kind: str, body: Any, found: tuple[str, str, str]) -> None:
    event = parsed(schema_2(kind, body))
    assert (event.chat_id, event.user_id, event.message_id) == found
    assert event.type == kind
    assert dedup_identity(event) == "5e01"


def test_schema_1() -> None:
    event = parsed(
        {
            "uuid": "bc01",
            "token": "vt",
            "ts": "1700000000.1234567",
            "type": "event_callback",
            "event": {
                "type": "p2p_chat_create",
                "app_id": "cli_1",
                "tenant_key": "t1",
                "chat_id": "oc_1",
                "user": WHO,
            },
        }
    )
    assert (event.id, event.type, event.schema, event.app_id) == ("bc01", "p2p_chat_create", "1.0", "cli_1")
    assert (event.chat_id, event.user_id) == ("oc_1", "ou_1")
    assert event.created == pytest.approx(1700000000.1234567)
    assert is_event({"type": "event_callback"})


def test_legacy_card() -> None:
    event = parse_event(orjson.loads(vectors.LEGACY_CARD_BODY), raw=vectors.LEGACY_CARD_BODY)
    assert (event.type, event.schema) == ("card.action.trigger_v1", "card")
    assert event.is_callback
    assert (event.user_id, event.message_id) == ("ou_0001", "om_0001")
    again = parse_event(orjson.loads(vectors.LEGACY_CARD_BODY), raw=vectors.LEGACY_CARD_BODY)
    other = vectors.LEGACY_CARD_BODY.replace(b"c-0001", b"c-0002")
    assert again.id == event.id != parse_event(orjson.loads(other), raw=other).id


def test_what_is_shown_has_no_verification_token() -> None:
    new = {"schema": "2.0", "header": {"token": "vt", "app_id": "cli_1"}, "event": {"token": "c-1"}}
    assert without_token(new) == {**new, "header": {"token": "***", "app_id": "cli_1"}}
    assert without_token({"type": "event_callback", "token": "vt", "event": {}})["token"] == "***"
    assert without_token({"text": "sent"}) == {"text": "sent"}
    assert without_token("no document") == "no document"


def test_token_and_app() -> None:
    new = schema_2("x", {})
    old = {"type": "event_callback", "token": "vt1", "event": {"app_id": "cli_2"}}
    card = orjson.loads(vectors.LEGACY_CARD_BODY)
    assert (token_of(new), app_id_of(new)) == ("vt", "cli_1")
    assert (token_of(old), app_id_of(old)) == ("vt1", "cli_2")
    # A card's token updates the card; taking it for the verification token would prove nothing.
    assert (token_of(card), app_id_of(card)) == ("", "")
    assert token_of({"header": {"token": 5}}) == ""


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"schema": "2.0"},
        {"schema": "2.0", "header": {}},
        {"schema": "2.0", "header": {**HEADER}, "event": {}},
        {"schema": "2.0", "header": {**HEADER, "event_type": "x", "event_id": ""}, "event": {}},
        {"schema": "2.0", "header": {**HEADER, "event_type": "x", "event_id": 7}, "event": {}},
        {"schema": "2.0", "header": {**HEADER, "event_type": "x", "event_id": "a\nb"}, "event": {}},
        {"schema": "2.0", "header": {**HEADER, "event_type": "x", "event_id": "a" * 300}, "event": {}},
        {"schema": "2.0", "header": {**HEADER, "event_type": "x"}, "event": "text"},
        {"type": "event_callback", "uuid": "1", "event": {}},
        {"type": "event_callback", "event": {"type": "x"}},
        {"type": "something"},
        {"open_message_id": "om", "action": "not an object"},
    ],
)
def test_what_is_no_event(document: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        parsed(document)


def message(chat: str = "oc_1", user: str = "ou_1", thread: str = "") -> Event:
    return Event("e1", "im.message.receive_v1", "2.0", "a", "t", None, chat, user, "om_1", thread, {})


def test_conversations() -> None:
    assert conversation_of(message(), "chat") == "oc_1"
    assert conversation_of(message(chat=""), "chat") == "ou_1"
    assert conversation_of(message(chat="", user=""), "chat") == "im.message.receive_v1"
    assert conversation_of(message(thread="omt_1"), "chat") == "oc_1"
    assert conversation_of(message(thread="omt_1"), "thread") == "oc_1/omt_1"
    assert conversation_of(message(), "thread") == "oc_1"
    assert conversation_of(message(), "sender") == "ou_1"
    assert conversation_of(message(user=""), "sender") == "oc_1"
    assert conversation_of(message(), "none") == "e1"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1700000000", 1700000000.0),
        (b"1700000000", 1700000000.0),
        ("1700000000000", 1700000000.0),
        ("1700000000000000", 1700000000.0),
        (1700000005, 1700000005.0),
        (1700000005.5, 1700000005.5),
        ("1700000000.25", 1700000000.25),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1e9", None),
        ("1_000", None),
        ("nan", None),
        ("١٧", None),
        (b"\xff\xfe", None),
        (True, None),
        (None, None),
        ([], None),
        (-5, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**30, None),
        ("9" * 20, 99999999999999.98),
        ("9" * 21, None),
    ],
)
def test_instants(value: object, seconds: float | None) -> None:
    assert parse_instant(value) == (None if seconds is None else pytest.approx(seconds))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
_NAMES = [
    *("schema", "header", "event", "type", "uuid", "token", "ts", "event_id", "event_type", "create_time"),
    *(
        "app_id",
        "tenant_key",
        "message",
        "sender",
        "sender_id",
        "open_id",
        "chat_id",
        "message_id",
        "thread_id",
    ),
    *("operator", "operator_id", "user_id", "reader", "context", "open_chat_id", "open_message_id", "action"),
]
documents = st.recursive(
    json_values,
    lambda inner: st.dictionaries(st.sampled_from(_NAMES), inner, max_size=6),
    max_leaves=30,
).filter(lambda value: isinstance(value, dict))


@settings(deadline=None)
@given(documents)
def test_any_document_is_an_event_or_bad(document: dict[str, Any]) -> None:
    token_of(document)
    app_id_of(document)
    try:
        event = parse_event(document, raw=b"x")
    except BadRequest:
        return
    assert is_event(document)
    assert event.id
    assert event.type
    for mode in ("chat", "thread", "sender", "none"):
        assert conversation_of(event, mode)
    assert dedup_identity(event)
