"""The HR bot: reminders, greetings, requests for leave."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.sdk import BotTest
from bots.hr import Settings, bot

ADDED = "im.chat.member.user.added_v1"
FORM = {"kind": "annual", "first": "2024-05-06 +0800", "last": "2024-05-08 +0800", "reason": "回家"}


async def test_reminder_goes_to_the_chat_of_the_settings() -> None:
    test = BotTest(bot, Settings(chat_id="oc_team"))
    due = datetime(2024, 5, 6, 18, 0, tzinfo=ZoneInfo("Asia/Shanghai"))
    [text] = await test.cron("remind", at=due)
    assert str(text).startswith("05-06 请填写日报")
    assert [one.chat_id for one in test.sent] == ["oc_team"]


async def test_reminder_without_a_chat_is_not_sent() -> None:
    assert await BotTest(bot).cron("remind") == []


async def test_newcomers_are_greeted_by_mention() -> None:
    users = [{"name": name, "user_id": {"open_id": open_id}} for name, open_id in (("甲", "ou_1"), ("乙", "ou_2"))]
    [text] = await BotTest(bot).event(ADDED, {"chat_id": "oc_1", "users": users})
    assert '<at user_id="ou_1"></at> <at user_id="ou_2"></at>' in str(text)


async def test_event_without_newcomers_is_quiet() -> None:
    assert await BotTest(bot).event(ADDED, {"chat_id": "oc_1"}) == []


async def asked(test: BotTest, form: dict[str, Any]) -> dict[str, Any]:
    [card] = await test.message("/leave")
    return await test.click(card, "request_leave", form=form, user="ou_asker")


async def test_request_is_passed_on_and_shown_in_place_of_the_form() -> None:
    test = BotTest(bot, Settings(chat_id="oc_team"))
    answer = await asked(test, FORM)
    assert answer["toast"]["type"] == "success"
    shown = str(answer["card"]["data"])
    for part in ("ou_asker", "年假", "2024-05-06 → 2024-05-08", "回家"):
        assert part in shown
    assert "form" not in shown
    [passed_on] = test.sent
    assert (passed_on.chat_id, passed_on.content) == ("oc_team", answer["card"]["data"])
    assert passed_on.later, "the toast does not wait for it"


async def test_without_a_team_chat_the_request_is_only_shown() -> None:
    test = BotTest(bot)
    assert (await asked(test, {**FORM, "reason": None}))["toast"]["type"] == "success"
    assert test.sent == []


@pytest.mark.parametrize(
    "change",
    [{"kind": ""}, {"kind": "holiday"}, {"first": ""}, {"last": None}, {"last": "2024-05-05 +0800"}],
)
async def test_incomplete_request_is_refused(change: dict[str, Any]) -> None:
    test = BotTest(bot, Settings(chat_id="oc_team"))
    answer = await asked(test, {**FORM, **change})
    assert answer["toast"]["type"] == "error"
    assert "card" not in answer
    assert test.sent == []


async def test_form_in_chinese() -> None:
    [card] = await BotTest(bot).message("请假")
    assert "date_picker" in str(card)
