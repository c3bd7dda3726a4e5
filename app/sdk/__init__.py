"""All that a bot's author imports: `from app.sdk import Bot, Context, Message`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.core.errors import FeishuError, FeishuRefused, OutcomeUnknown, SlotTimeout, TargetGone
from app.sdk.bot import Bot
from app.sdk.card import Card
from app.sdk.card_action import CardAction
from app.sdk.content import Content, File, Image, Markdown, Post, at, plain
from app.sdk.context import Context
from app.sdk.cron_tick import CronTick
from app.sdk.feishu_event import FeishuEvent
from app.sdk.filters import Filter, from_owner, in_group, in_private, matches, to_me
from app.sdk.form import DatePicker, Input, Select
from app.sdk.link import Link
from app.sdk.message import Mention, Message
from app.sdk.outcomes import Drop, Retry
from app.sdk.preview import Preview
from app.sdk.stream import CardStream
from app.sdk.toast import Toast

if TYPE_CHECKING:
    from app.sdk.testing import BotTest

__all__ = [
    "Bot",
    "BotTest",
    "Card",
    "CardAction",
    "CardStream",
    "Content",
    "Context",
    "CronTick",
    "DatePicker",
    "Drop",
    "FeishuError",
    "FeishuEvent",
    "FeishuRefused",
    "File",
    "Filter",
    "Image",
    "Input",
    "Link",
    "Markdown",
    "Mention",
    "Message",
    "OutcomeUnknown",
    "Post",
    "Preview",
    "Retry",
    "Select",
    "SlotTimeout",
    "TargetGone",
    "Toast",
    "at",
    "from_owner",
    "in_group",
    "in_private",
    "matches",
    "plain",
    "to_me",
]


def __getattr__(name: str) -> Any:
    # A bot that serves never needs BotTest, nor the logging set-up that comes with it.
    if name == "BotTest":
        from app.sdk.testing import BotTest

        return BotTest
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
