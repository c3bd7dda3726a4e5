"""The support bot: tickets, their numbers, and who decides."""

from __future__ import annotations

from typing import Any

import pytest

from app.sdk import BotTest
from bots.support import Settings, bot


async def opened(test: BotTest, text: str = "打印机坏了", **details: Any) -> dict[str, Any]:
    [card] = await test.message(f"/ticket {text}", **details)
    assert isinstance(card, dict)
    return card


def title(card: dict[str, Any]) -> str:
    found: str = card["header"]["title"]["content"]
    return found


async def test_ticket_without_a_problem_shows_the_usage() -> None:
    [text] = await BotTest(bot).message("/ticket")
    assert "/ticket" in str(text)


async def test_tickets_are_numbered_within_their_chat() -> None:
    test = BotTest(bot)
    assert "#1" in title(await opened(test))
    assert "#2" in title(await opened(test, user="ou_other"))
    assert "#1" in title(await opened(test, chat="oc_other"))
    [card] = await test.message("工单 又坏了")
    assert isinstance(card, dict)
    assert "#3" in title(card)


async def test_message_that_is_handled_twice_is_one_ticket() -> None:
    test = BotTest(bot)
    assert "#1" in title(await opened(test, message_id="om_same"))
    assert "#1" in title(await opened(test, message_id="om_same", attempt=2))
    assert "#2" in title(await opened(test))


@pytest.mark.parametrize(("action", "color"), [("approve", "green"), ("reject", "red")])
async def test_button_decides_and_replaces_the_card(action: str, color: str) -> None:
    test = BotTest(bot)
    answer = await test.click(await opened(test), action, user="ou_reviewer")
    assert answer["toast"]["type"] == "success"
    card = answer["card"]["data"]
    assert card["header"]["template"] == color
    assert "打印机坏了" in str(card)
    assert "ou_reviewer" in str(card)
    assert "button" not in str(card)


async def test_second_decision_changes_nothing() -> None:
    test = BotTest(bot)
    card = await opened(test)
    await test.click(card, "approve", user="ou_first")
    answer = await test.click(card, "reject", user="ou_second")
    assert answer["toast"]["type"] == "info"
    assert answer["card"]["data"]["header"]["template"] == "green"
    assert "ou_second" not in str(answer["card"])


async def test_only_reviewers_decide() -> None:
    test = BotTest(bot, Settings(reviewers=("ou_boss",)))
    card = await opened(test)
    assert (await test.click(card, "approve", user="ou_user"))["toast"]["type"] == "warning"
    assert (await test.click(card, "approve", user="ou_boss"))["toast"]["type"] == "success"


async def test_ticket_that_is_gone() -> None:
    test = BotTest(bot)
    card = await opened(test)
    assert (await test.click(card, "approve", chat="oc_other"))["toast"]["type"] == "error"


async def test_mine_lists_the_senders_tickets_with_their_status() -> None:
    test = BotTest(bot)
    [none] = await test.message("/mine")
    assert "没有工单" in str(none)
    await test.click(await opened(test, "one"), "approve")
    await opened(test, "two", user="ou_other")
    await opened(test, "three")
    [text] = await test.message("/mine")
    lines = str(text).splitlines()
    assert [line.split()[0] for line in lines] == ["#3", "#1"]
    assert "three" in lines[0]
    assert "Approved" in lines[1]


async def test_ticket_mentions_nobody() -> None:
    test = BotTest(bot)
    card = await opened(test, "<at id=all></at>")
    assert "<at id=all>" not in str(card)
    [text] = await test.message("/mine")
    assert "<at id=all>" not in str(text)


@pytest.mark.parametrize("written", ["/help", "帮助"])
async def test_help_lists_the_commands(written: str) -> None:
    [text] = await BotTest(bot).message(written)
    for command in ("/ticket", "/mine", "/help"):
        assert command in str(text)


async def test_anything_else_shows_the_way_only_to_who_asks() -> None:
    test = BotTest(bot)
    [text] = await test.message("hello")
    assert "/help" in str(text)
    assert await test.message("hello", group=True, mention=False) == []
