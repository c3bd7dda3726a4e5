"""Messages: text with its mentions, commands, and bodies that nobody vouches for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.model.event import Event
from app.sdk.message import Message
from tests.unit.sdk.events import BOT_MENTION, ME, TOM_MENTION, event_of, message, message_event


def test_private_text() -> None:
    got = message("你好")
    assert (got.text, got.type, got.chat_id, got.message_id) == ("你好", "text", "oc_0002", "om_0002")
    assert (got.sender_id, got.sender_type, got.root_id, got.thread_id) == (
        "ou_0001",
        "user",
        "om_0000",
        "omt_0001",
    )
    assert got.is_private
    assert not got.mentions_me
    assert not got.from_bot
    assert got.content == {"text": "你好"}


def test_own_mention_in_front_goes_and_others_get_their_names() -> None:
    got = message("@_user_1 deploy @_user_2", group=True, mentions=[BOT_MENTION, TOM_MENTION])
    assert got.text == "deploy @Tom"
    assert got.line == "deploy @Tom"
    assert got.mentions_me
    assert not got.is_private
    assert [(one.open_id, one.name, one.is_bot) for one in got.mentions] == [
        ("ou_bot1", "HubBot", True),
        ("ou_0002", "Tom", False),
    ]


def test_own_mention_inside_the_text_stays_readable_but_is_no_part_of_a_command() -> None:
    got = message("/ask what can @_user_1 do", group=True, mentions=[BOT_MENTION])
    assert got.text == "/ask what can @HubBot do"
    as_command = got.as_command("ask")
    assert as_command is not None
    assert as_command.args.split() == ["what", "can", "do"]


def test_another_bots_mention_in_front_is_no_command_of_mine() -> None:
    other = {**BOT_MENTION, "id": {"open_id": "ou_bot2"}, "name": "Other"}
    got = message("@_user_1 ping", group=True, mentions=[other])
    assert not got.mentions_me
    assert got.as_command("ping") is None


def test_tenth_mention_is_not_the_first() -> None:
    tenth = {**TOM_MENTION, "key": "@_user_10", "name": "Ann"}
    assert message("@_user_10 @_user_1", mentions=[BOT_MENTION, tenth]).text == "@Ann @HubBot"


def test_everybody_is_named_all_even_where_the_mentions_lack_it() -> None:
    assert message("@_all 开会").text == "@all 开会"


def test_mention_is_not_taken_for_a_pattern_or_replaced_twice() -> None:
    tricky = {**TOM_MENTION, "name": r"\1 @_user_1"}
    assert message("hi @_user_2", mentions=[BOT_MENTION, tricky]).text == r"hi @\1 @_user_1"


def test_post_is_read_as_text() -> None:
    content = {
        "title": "周报",
        "content": [
            [{"tag": "at", "user_id": "@_user_1", "user_name": "HubBot"}, {"tag": "text", "text": " hello "}],
            [{"tag": "img", "image_key": "img_1"}],
            [{"tag": "a", "href": "https://example.test", "text": "link"}, {"tag": "at", "user_name": "Ann"}],
        ],
    }
    got = message(content, kind="post", group=True, mentions=[BOT_MENTION])
    assert got.text == "周报\n@HubBot hello \nlink@Ann"
    assert got.mentions_me


def test_post_without_title_can_be_a_command() -> None:
    content = {
        "title": "",
        "content": [[{"tag": "at", "user_id": "@_user_1"}, {"tag": "text", "text": " /日报 a"}]],
    }
    got = message(content, kind="post", group=True, mentions=[BOT_MENTION]).as_command("日报")
    assert got is not None
    assert got.args == "a"


def test_image_has_no_text_but_its_content() -> None:
    got = message({"image_key": "img_1"}, kind="image")
    assert (got.text, got.content["image_key"]) == ("", "img_1")


@pytest.mark.parametrize(
    ("written", "args"),
    [
        ("ping", ""),
        ("/ping", ""),
        ("／ping", ""),
        ("PING", ""),
        ("/Ping a  b", "a  b"),
        ("  /ping\na\nb", "a\nb"),
        ("/ping　全角", "全角"),
        ("@_user_1 ping x", "x"),
        ("@_user_1　/ping x", "x"),
        ("@_user_1/ping x", "x"),
        ("/ping @_user_1", ""),
    ],
)
def test_command_is_found(written: str, args: str) -> None:
    got = message(written, mentions=[BOT_MENTION]).as_command("ping")
    assert got is not None
    assert (got.command, got.args) == ("ping", args)


@pytest.mark.parametrize("written", ["", "pings", "/pings", "//ping", "a ping", "/ ping", "ping!", "pi ng", "/"])
def test_command_is_not_found(written: str) -> None:
    assert message(written).as_command("ping") is None


@pytest.mark.parametrize("written", ["日报 写完", "/日报 写完", "／日报 写完", "@_user_1 日报　写完"])
def test_chinese_command(written: str) -> None:
    got = message(written, mentions=[BOT_MENTION]).as_command("日报")
    assert got is not None
    assert got.args == "写完"


def test_nothing_people_wrote_is_printed() -> None:
    secret = message("@_user_2 密码是123", mentions=[{**TOM_MENTION, "name": "王小明"}])
    as_command = message("/say 密码是123").as_command("say")
    assert "密码" not in repr(secret)
    assert "王小明" not in repr(secret)
    assert "密码" not in repr(as_command)


def test_other_bots_are_known_by_either_name() -> None:
    assert message("x", sender_type="bot").from_bot
    assert message("x", sender_type="app").from_bot


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PART = st.dictionaries(
    st.sampled_from(
        ["message", "content", "mentions", "message_type", "chat_type", "key", "id", "name", "tag", "text"]
    ),
    JSON,
)


@settings(deadline=None)  # the machine may be busy
@given(body=PART, inner=PART, text=st.text(), kind=st.sampled_from(["text", "post", "image", ""]))
def test_no_body_breaks_it(body: dict[str, Any], inner: dict[str, Any], text: str, kind: str) -> None:
    filled = {"content": text, **inner, "message_type": kind}
    for shape in (body, {**body, "message": filled}):
        event = _event_with(shape)
        assert isinstance(Message.of(event, ME).as_command("x"), Message | None)


@settings(deadline=None)  # the machine may be busy
@given(mentions=st.lists(PART, max_size=3), paragraphs=JSON)
def test_no_content_breaks_it(mentions: list[dict[str, Any]], paragraphs: object) -> None:
    event = message_event({"title": "t", "content": paragraphs}, kind="post", mentions=mentions)
    assert isinstance(Message.of(event, ME).text, str)


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '"x"', "[" * 100_000, '{"text": 5}', '{"text": null}'])
def test_broken_content_counts_as_empty(content: str) -> None:
    event = event_of("im.message.receive_v1", {"message": {"message_type": "text", "content": content}})
    assert Message.of(event, ME).text == ""


def _event_with(body: dict[str, Any]) -> Event:
    return event_of("im.message.receive_v1", {"message": {}}) if not body else _replaced(body)


def _replaced(body: dict[str, Any]) -> Event:
    # Past the parser on purpose: the SDK must stand on its own.
    return Event("ev", "im.message.receive_v1", "2.0", "cli", "t", None, "oc", "ou", "om", "", body)
