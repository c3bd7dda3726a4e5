"""A click on an alert's card silences it, for those who are told of alerts, and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from app.control.alerts.book import Book
from app.control.alerts.button import silence_button
from app.control.alerts.card import SILENCE_ACTION
from app.core.alert_settings import AlertSettings
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.sdk.testing import BotTest
from tests.unit.control.alerts.parts import START, HandClock

ALERTS = AlertSettings.model_validate({"channels": {"chat": {"bot": "support", "feishu_chat": "oc_ops"}}})


async def click(book: Book, rule: str = "QueueLong", *, bot: str = "support", chat: str = "oc_ops") -> Any:
    test = BotTest(silence_button(book, ALERTS, clock=HandClock()), bot_id=bot)
    answer = await test.card(SILENCE_ACTION, {"rule": rule, "subject": "echo"}, chat=chat, user="ou_oper")
    return answer["toast"]


async def test_a_click_silences_for_an_hour(link: RedisLink, keys: Keys) -> None:
    book = Book(link, keys)
    toast = await click(book)
    assert (toast["type"], toast["i18n"]["zh_cn"]) == ("success", "已静默 1 小时")
    [silence] = (await book.standing()).silences
    assert (silence.rule, silence.subject, silence.until, silence.by) == ("QueueLong", "echo", START + 3600, "ou_oper")


@pytest.mark.parametrize(("bot", "chat"), [("support", "oc_other"), ("echo", "oc_ops")])
async def test_a_card_from_elsewhere_silences_nothing(link: RedisLink, keys: Keys, bot: str, chat: str) -> None:
    book = Book(link, keys)
    assert (await click(book, bot=bot, chat=chat))["type"] == "error"
    assert (await book.standing()).silences == ()


async def test_a_rule_that_is_no_more_is_told(link: RedisLink, keys: Keys) -> None:
    assert (await click(Book(link, keys), "Gone"))["type"] == "error"
