"""Every event becomes the typed thing that its handler takes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.feishu.parse import parse_event
from app.model.event import Event
from app.sdk.card_action import CardAction
from app.sdk.cron_tick import CronTick, cron_event
from app.sdk.feishu_event import FeishuEvent
from app.sdk.message import Message
from app.sdk.preview import Preview
from app.sdk.subject import subject_of
from tests.unit.sdk.events import ME, event_of, message_event

ACTION = {
    "operator": {"tenant_key": "t1", "user_id": "u1", "open_id": "ou_0001", "union_id": "on_1"},
    "token": "c-0001",
    "action": {
        "value": {"cmd": "approve", "id": "42"},
        "tag": "button",
        "name": "btn_ok",
        "form_value": {"reason": "ok", "people": ["ou_0002"]},
        "input_value": "free text",
        "option": "opt1",
        "options": ["a", "b"],
    },
    "host": "im_message",
    "context": {"open_message_id": "om_0001", "open_chat_id": "oc_0001"},
}


def card_action(action: dict[str, Any]) -> CardAction:
    subject = subject_of(event_of("card.action.trigger", {**ACTION, "action": action}), ME)
    assert isinstance(subject, CardAction)
    return subject


def test_message() -> None:
    subject = subject_of(message_event("hi"), ME)
    assert isinstance(subject, Message)
    assert subject.text == "hi"


def test_card_action_with_everything() -> None:
    got = subject_of(event_of("card.action.trigger", ACTION), ME)
    assert isinstance(got, CardAction)
    assert (got.name, got.operator_id, got.chat_id, got.message_id) == (
        "btn_ok",
        "ou_0001",
        "oc_0001",
        "om_0001",
    )
    assert got.value == {"cmd": "approve", "id": "42"}
    assert got.get("cmd") == "approve"
    assert got.form["people"] == ["ou_0002"]
    assert (got.input, got.options, got.token) == ("free text", ("a", "b"), "c-0001")
    for hidden in ("c-0001", "free text", "approve", "reason"):
        assert hidden not in repr(got)


def test_card_action_is_known_by_name_by_action_and_by_a_bare_string() -> None:
    assert card_action({"name": "Button_x1", "value": {"action": "approve"}}).names == (
        "Button_x1",
        "approve",
    )
    assert card_action({"value": {"action": "approve"}}).name == "approve"
    assert card_action({"value": "approve"}).name == "approve"
    assert card_action({"value": {"action": 5}}).name == ""


def test_string_value_has_no_keys() -> None:
    got = card_action({"value": "approve"})
    assert got.value == "approve"
    assert got.get("anything", "default") == "default"


def test_one_chosen_option_is_among_options() -> None:
    assert card_action({"option": "opt1"}).options == ("opt1",)


def test_legacy_card() -> None:
    document = {
        "open_id": "ou_1",
        "open_message_id": "om_1",
        "open_chat_id": "oc_1",
        "token": "c-1",
        "action": {"value": {"action": "approve"}, "tag": "button"},
    }
    got = subject_of(parse_event(document, raw=json.dumps(document).encode()), ME)
    assert isinstance(got, CardAction)
    assert (got.name, got.operator_id, got.chat_id, got.message_id, got.token) == (
        "approve",
        "ou_1",
        "oc_1",
        "om_1",
        "c-1",
    )


def test_preview() -> None:
    body = {
        "operator": {"open_id": "ou_1"},
        "host": "im_message",
        "context": {
            "url": "https://example.test/x",
            "preview_token": "pt-1",
            "open_message_id": "om_1",
            "open_chat_id": "oc_1",
        },
    }
    got = subject_of(event_of("url.preview.get", body), ME)
    assert isinstance(got, Preview)
    assert (got.url, got.token, got.host, got.operator_id, got.chat_id, got.message_id) == (
        "https://example.test/x",
        "pt-1",
        "im_message",
        "ou_1",
        "oc_1",
        "om_1",
    )
    assert "example.test" not in repr(got)


def test_any_other_event() -> None:
    body = {"chat_id": "oc_2", "operator_id": {"open_id": "ou_1"}, "name": "秘密项目群"}
    got = subject_of(event_of("im.chat.member.bot.added_v1", body), ME)
    assert isinstance(got, FeishuEvent)
    assert (got.type, got.chat_id, got.user_id, got.created) == (
        "im.chat.member.bot.added_v1",
        "oc_2",
        "ou_1",
        1_700_000_000.0,
    )
    assert got.body == body
    assert "秘密" not in repr(got)


def test_cron_tick_has_the_time_of_its_zone() -> None:
    due = datetime(2024, 5, 1, 9, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
    event = cron_event("hr", "cli_a", "remind", due.timestamp(), tz="Asia/Shanghai", chat_id="oc_1")
    got = subject_of(event, ME)
    assert isinstance(got, CronTick)
    assert (got.name, got.at, got.at.hour, got.chat_id) == ("remind", due, 9, "oc_1")
    assert event == cron_event("hr", "cli_a", "remind", due.timestamp(), tz="Asia/Shanghai", chat_id="oc_1")


ANY = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(list(ACTION)), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)  # the machine may be busy
@given(body=st.dictionaries(st.sampled_from([*ACTION, "name", "tz"]), ANY))
@pytest.mark.parametrize("type", ["card.action.trigger", "url.preview.get", "im.chat.updated_v1", "hub.cron"])
def test_no_body_breaks_it(type: str, body: dict[str, Any]) -> None:
    event = Event("ev", type, "2.0", "cli", "t", None, "", "", "", "", body)
    assert subject_of(event, ME) is not None
