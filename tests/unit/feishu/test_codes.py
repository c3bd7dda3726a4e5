"""Every code of Feishu becomes the error that says what to do."""

from __future__ import annotations

import pytest

from app.core.errors import (
    AppRefused,
    FeishuError,
    FeishuLimited,
    FeishuRefused,
    FeishuTokenInvalid,
    FeishuUnavailable,
    ScopeMissing,
    TargetGone,
)
from app.feishu.client import NO_CODE, Answer
from app.feishu.codes import error_for, pause_asked


def answer(code: int, status: int = 400, msg: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, code, msg, {}, named, "log-9", b"", {})


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (99991400, 429, FeishuLimited),
        (99991400, 400, FeishuLimited),
        (NO_CODE, 429, FeishuLimited),
        (230020, 400, FeishuLimited),
        (11232, 400, FeishuLimited),
        (11233, 400, FeishuLimited),
        (11247, 400, FeishuLimited),
        (99991403, 400, FeishuLimited),
        (99991663, 200, FeishuTokenInvalid),
        (99991664, 400, FeishuTokenInvalid),
        (99991677, 400, FeishuTokenInvalid),
        (99991661, 400, FeishuTokenInvalid),
        (99991671, 400, FeishuTokenInvalid),
        (230011, 400, TargetGone),
        (231003, 400, TargetGone),
        (230110, 400, TargetGone),
        (232009, 400, TargetGone),
        (230049, 400, FeishuUnavailable),
        (18121, 400, FeishuUnavailable),
        (2200, 400, FeishuUnavailable),
        (1500, 400, FeishuUnavailable),
        (99991644, 400, FeishuUnavailable),
        (123456, 502, FeishuUnavailable),
        (230002, 400, FeishuRefused),
        (11246, 400, FeishuRefused),
        (10014, 200, AppRefused),
        (99991673, 400, AppRefused),
        (230006, 400, AppRefused),
        (99991401, 400, AppRefused),
        (99991672, 400, ScopeMissing),
        (123456, 400, FeishuRefused),
    ],
)
def test_each_code_has_its_class(code: int, status: int, kind: type[FeishuError]) -> None:
    error = error_for(answer(code, status), "im.message.create of bot support")
    assert type(error) is kind
    assert (error.code, error.status, error.log_id) == (code, status, "log-9")
    assert "im.message.create of bot support" in str(error)
    assert "log-9" in str(error)


@pytest.mark.parametrize(
    ("code", "bound", "retryable"),
    [
        (99991400, "app", True),
        (11232, "app", True),
        (230020, "chat", True),
        (11233, "chat", True),
        (99991403, "quota", False),
    ],
)
def test_a_limit_says_what_is_limited(code: int, bound: str, retryable: bool) -> None:
    error = error_for(answer(code), "x")
    assert isinstance(error, FeishuLimited)
    assert (error.bound, error.retryable) == (bound, retryable)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("52", 52.0),
        ("0.5", 0.5),
        ("0", 0.1),
        ("-3", 0.1),
        ("900", 60.0),
        ("inf", 60.0),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_the_reset_header_is_clamped(reset: str, seconds: float | None) -> None:
    limited = answer(99991400, 429, x_ogw_ratelimit_reset=reset)
    assert pause_asked(limited) == seconds
    assert error_for(limited, "x").retry_after == seconds


def test_a_custom_bot_that_posts_too_much_is_limited() -> None:
    assert isinstance(error_for(answer(9499, msg="too many request"), "x"), FeishuLimited)
    for other in (answer(9499, msg="Bad Request"), answer(230001, msg="too many parameters")):
        assert type(error_for(other, "x")) is FeishuRefused


def test_content_that_could_not_be_made_is_tried_again_only_on_an_internal_error() -> None:
    assert isinstance(error_for(answer(11246, msg="service internal error"), "x"), FeishuUnavailable)
    for other in (answer(11246, msg="bad card"), answer(230001, msg="internal id")):
        assert type(error_for(other, "x")) is FeishuRefused


def test_a_message_that_is_still_being_sent_is_asked_about_soon() -> None:
    error = error_for(answer(230049), "x")
    assert isinstance(error, FeishuUnavailable)
    assert (error.retryable, error.retry_after) == (True, 0.5)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (230002, "add it to the group"),
        (230013, "availability"),
        (99991672, "grant it"),
        (10014, "credentials.yaml"),
    ],
)
def test_the_common_ones_say_what_to_do(code: int, advice: str) -> None:
    assert advice in str(error_for(answer(code), "x"))


@pytest.mark.parametrize(
    ("words", "scopes"),
    [
        (
            "Access denied. One of the following scopes is required: [im:message:send_as_bot, im:message]. "
            "https://open.feishu.cn/app/cli_a/auth?q=im:message:send_as_bot,im:message&op_from=openapi",
            ("im:message:send_as_bot", "im:message"),
        ),
        ("应用尚未开通所需的应用身份权限：[contact:user.base:readonly]", ("contact:user.base:readonly",)),
        ("Access denied: see https://open.feishu.cn/app/cli_a", ()),
        ("", ()),
        (", ".join(f"im:{letter}" for letter in "abcdefg"), ("im:a", "im:b", "im:c", "im:d", "im:e")),
    ],
    ids=["named twice", "Chinese", "none", "nothing", "many"],
)
def test_a_missing_scope_is_named(words: str, scopes: tuple[str, ...]) -> None:
    error = error_for(answer(99991672, msg=words), "x")
    assert isinstance(error, ScopeMissing)
    assert error.scopes == scopes
    assert f"lacks {'the scope ' + ' or '.join(scopes) if scopes else 'a scope'}: grant it" in str(error)


def test_what_feishu_quotes_of_a_message_is_left_out() -> None:
    said = str(error_for(answer(230099, msg='Failed to create card, ErrCode: 11310; input {"text": "private"}'), "x"))
    assert "ErrCode: 11310" in said
    assert "private" not in said
