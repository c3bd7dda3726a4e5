"""What Feishu's error codes mean: each becomes the error of the hub's tree that says what to do."""

from __future__ import annotations

import math
import re
from typing import Final, Literal

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
from app.feishu.client import Answer

# Feishu docs: rate limits: 11246, their neighbour, is no limit.
APP_LIMITED: Final = frozenset({99991400, 11232, 11247})
CHAT_LIMITED: Final = frozenset({230020, 11233})
QUOTA_USED_UP: Final = 99991403
TOKEN_INVALID: Final = frozenset({99991661, 99991663, 99991664, 99991671, 99991677})
WRONG_CREDENTIALS: Final = frozenset({10003, 10005, 10012, 10013, 10014, 10015, 20002, 99991662, 99991673})
APP_UNFIT: Final = frozenset({230006, 99991401})
"""What the app may not do at all as it is set up: no bot ability, not from this address."""
NO_SCOPE: Final = 99991672
"""The app lacks a scope: for the API, for a type of message, or for the ids by which the receiver is named."""
INTERNAL: Final = frozenset({1500, 2200, 99991644})

BEING_SENT: Final = frozenset({230049, 18121})
"""A call with the same uuid is still running, or (Feishu does not say) has run within the hour."""
ALREADY_DONE: Final = frozenset({200770})
"""The uuid was used before: what it names has happened."""

GONE: Final = frozenset({230011, 230019, 230029, 230110, 231003, 232009, 200000})
REPLY_TARGET_GONE: Final = frozenset({230011, 230110, 231003})
"""The message that was replied to: the chat it was in may still be there."""

CARD_NOT_MADE: Final = 230099
"""Feishu could make no card of what was sent, which for a card entity is no fault of its content."""
CARD_BUSY: Final = 200810
"""Somebody is pressing a button of the card: it takes no changes meanwhile."""
CARD_OUTDONE: Final = 300317
"""An operation with a higher sequence was done before."""
TYPING_OFF: Final = frozenset({200850, 300309})
"""The card's streaming mode timed out, or was ended."""

MIN_PAUSE: Final = 0.1
MAX_PAUSE: Final = 60.0
"""Seconds: the bounds between which Feishu's own `x-ogw-ratelimit-reset` is believed."""
_BEING_SENT_PAUSE: Final = 0.5

_ADVICE: Final[dict[int, str]] = {
    230001: "a parameter or the content is malformed: check the JSON of `content` and the receiver's id type",
    230002: "the bot is not in this group: add it to the group's bots",
    230006: "the app has no bot: enable the bot ability in the developer console and publish a version",
    230011: "the message was withdrawn",
    230013: "the user is outside the app's availability or has left: widen the availability in the developer console",
    230017: "the resource belongs to another app: upload it with this one",
    230018: "the group's settings forbid it: ask the group's owner",
    230019: "the topic is gone",
    230022: "the content was found to be sensitive: change it",
    230025: "it is too long: 150 KB for a text, 30 KB for a card or post",
    230027: "the app lacks a permission: grant the scope in the developer console and publish a version",
    230028: "the data-leak audit stopped it: ask the tenant's administrator",
    230029: "the user has left the company",
    230031: "the message is over 14 days old and can no longer be changed",
    230034: "the receiver's id is not valid: an open_id is good only for the app that got it",
    230035: "the bot may not speak in this group: ask the group's owner",
    230038: "a private chat across tenants is not possible",
    230050: "the message is not visible to the bot",
    230053: "the user has muted the bot",
    230054: "this type of message cannot be changed or sent here",
    230055: "the file's type does not fit the message: an audio is opus, a video mp4",
    230071: "the message is not the bot's own, or the group has no topics",
    230072: "the message was edited 20 times, which is all Feishu allows: send a new one",
    230075: "the chat is secret: bots cannot write to it",
    230099: "the card could not be made: check it in Feishu's card editor",
    230110: "the message was deleted",
    231002: "the bot may not react to this message",
    231003: "the message is not there",
    232009: "the chat was dissolved",
    234006: "the file is too large: 10 MB for an image, 30 MB for a file",
    234010: "the file is empty",
    234011: "the image's format is not known",
    234039: "the image's resolution is too high",
    234043: "resources of cards and merged forwards cannot be fetched",
    200000: "the card's message was withdrawn",
    200740: "the card entity is not there",
    200750: "the card entity is over 14 days old",
    200810: "somebody is using the card: change it a moment later",
    200850: "the card's typing timed out",
    200860: "the card is over 30 KB",
    300305: "the card has more than 200 elements",
    300309: "the card's typing was ended",
    300317: "the card was changed since, with a higher sequence",
    300020: "the card's update token is malformed",
    300030: "the card's update token is over 30 minutes old",
    300040: "the card's update token was used twice, which is all Feishu allows",
    99991401: "this machine's address is not on the app's IP whitelist: add it in the developer console",
    99992361: "the open_id belongs to another app: every app has its own for the same person",
    11246: "the content could not be created",
    19021: "the custom bot's signature or time is wrong",
    19022: "this machine's address is not allowed to the custom bot",
    19024: "the custom bot's keyword is missing",
    19001: "the custom bot's token is wrong",
}
_CREDENTIALS_ADVICE: Final = (
    "Feishu does not accept the app: check app_id, app_secret and domain in credentials.yaml, and that the app is "
    "enabled and published"
)
_QUOTA_ADVICE: Final = "the tenant's monthly quota of API calls is used up: wait for the next month or change the plan"
# Those of which one is needed, in Feishu's words and in the address where it is granted: `im:message:send_as_bot`.
_SCOPE: Final = re.compile(r"(?<![\w:.%])[a-z][a-z_]*(?::[a-z_]+(?:\.[a-z_]+)*)+")
_SCOPES_NAMED: Final = 5
# What Feishu says may quote the request; its own words come before the first quotation.
_QUOTATION: Final = re.compile(r"[\"'`“‘{\[<]")
_MSG_LENGTH: Final = 160


def error_for(answer: Answer, label: str) -> FeishuError:
    """The error that an answer with a code other than 0 stands for; `label` names the call."""
    kind, bound, advice = _reading(answer)
    words = _QUOTATION.split(answer.msg, maxsplit=1)[0].strip()[:_MSG_LENGTH]
    about = [f"code {answer.code}"]
    if words:
        about.append(f"in Feishu's words: {words}")
    if answer.log_id:
        about.append(f"log id {answer.log_id}")
    error = kind(
        f"Feishu refused {label}: {advice} ({', '.join(about)})",
        code=answer.code,
        status=answer.status,
        log_id=answer.log_id,
    )
    if isinstance(error, FeishuLimited):
        error.bound = bound
        error.retry_after = pause_asked(answer)
        error.retryable = bound != "quota"
    elif isinstance(error, ScopeMissing):
        error.scopes = _scopes(answer)
    elif answer.code in BEING_SENT:
        error.retry_after = _BEING_SENT_PAUSE
    return error


def _reading(answer: Answer) -> tuple[type[FeishuError], Literal["app", "chat", "quota"], str]:
    """The error's class, what is limited where it is a limit, and what is wrong and to be done."""
    code = answer.code
    words = answer.msg.lower()
    if code in CHAT_LIMITED:
        return FeishuLimited, "chat", "the chat gets too many messages"
    if code == QUOTA_USED_UP:
        return FeishuLimited, "quota", _QUOTA_ADVICE
    # Custom bots say 9499 for a bad request and for too many alike (Feishu docs: custom bot guide).
    if code in APP_LIMITED or answer.status == 429 or (code == 9499 and "too many" in words):
        return FeishuLimited, "app", "the app calls too often"
    if code in TOKEN_INVALID:
        return FeishuTokenInvalid, "app", "the access token is not accepted"
    if code in BEING_SENT:
        return FeishuUnavailable, "app", "the same message is still being sent"
    if code in INTERNAL or answer.status >= 500 or (code == 11246 and "internal" in words):
        return FeishuUnavailable, "app", "an internal error of Feishu"
    if code in WRONG_CREDENTIALS:
        return AppRefused, "app", _CREDENTIALS_ADVICE
    if code == NO_SCOPE:
        named = f"the scope {' or '.join(scopes)}" if (scopes := _scopes(answer)) else "a scope"
        return ScopeMissing, "app", f"the app lacks {named}: grant it in the developer console and publish a version"
    advice = _ADVICE.get(code, "look the code up in Feishu's list of error codes")
    kind = TargetGone if code in GONE else AppRefused if code in APP_UNFIT else FeishuRefused
    return kind, "app", advice


def _scopes(answer: Answer) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_SCOPE.findall(answer.msg)))[:_SCOPES_NAMED]


def pause_asked(answer: Answer) -> float | None:
    """Seconds that Feishu asks to wait (`x-ogw-ratelimit-reset`), between 0.1 and 60; None where it does not say."""
    try:
        seconds = float(answer.headers.get("x-ogw-ratelimit-reset", ""))
    except ValueError:
        return None
    if math.isnan(seconds):
        return None
    return min(MAX_PAUSE, max(MIN_PAUSE, seconds))
