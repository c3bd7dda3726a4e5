"""The whole way of an event, through a real hub: from Feishu's POST to the bot's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from app.control.playground.callbacks import Clicked
from app.control.playground.world import Message
from tests.system.world import Site
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system

COUNTING = '''
"""Answers, and notes each time that it is called."""
from pathlib import Path

from app.sdk import Bot, Context, Message

bot = Bot()


@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    with Path({notes!r}).open("a") as notes:
        notes.write(message.text + "\\n")
    return f"echo {{message.text}}"
'''

CARDS = '''
"""Sends a card, and changes it when its buttons are pressed."""
import asyncio
from pathlib import Path

from app.sdk import Bot, Card, CardAction, Context, Message, Toast

bot = Bot()
LATE = Path({late!r})


@bot.message()
async def card(message: Message, ctx: Context) -> Card:
    return Card.of(title="open").button("now", action="now").button("late", action="late")


@bot.card("now")
async def now(action: CardAction, ctx: Context) -> tuple[Toast, Card]:
    return Toast.success("done"), Card.of(title="closed")


@bot.card("late")
async def late(action: CardAction, ctx: Context) -> tuple[Toast, Card]:
    while not LATE.exists():
        await asyncio.sleep(0.01)
    return Toast.success("done at last"), Card.of(title="closed late")
'''


@pytest.fixture
async def running(site: Site) -> AsyncIterator[Site]:
    """A hub with an encrypted bot, a plain one and one with cards."""
    site.bot("echo")
    site.bot("plain", encrypted=False)
    site.handler("counting", COUNTING.format(notes=str(site.root / "notes")))
    site.bot("counting", handler="counting")
    site.handler("cards", CARDS.format(late=str(site.root / "late")))
    site.bot("cards", handler="cards")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    yield site
    assert await hub.stop() == 0, hub.said()


async def card_of(site: Site) -> Message:
    said = await site.says("cards", "show")
    chat = said.message.chat
    await until(lambda: chat.messages[-1].msg_type == "interactive")
    return chat.messages[-1]


def title(card: Message) -> str:
    return str(orjson.loads(card.content)["header"]["title"]["content"])


async def press(site: Site, card: Message, action: str, event_id: str | None = None) -> Clicked:
    return await site.playground.click(card.chat.users[0], card.message_id, action, event_id=event_id)


async def test_messages_are_answered(running: Site) -> None:
    for bot in ("echo", "plain"):
        assert await running.asks(bot, "你好") == "echo 你好"
    await group_hears_one_answer_of_each_bot(running)
    for bot in ("echo", "plain"):
        await address_can_be_saved_in_the_console(running, bot)


async def group_hears_one_answer_of_each_bot(running: Site) -> None:
    feishu = running.playground
    user = feishu.add_user("Bob")
    group = feishu.group("team", [running.apps["echo"], running.apps["plain"]], [user])
    said = await feishu.user_says(user, group, "all of you")
    await said.settled()
    await until(lambda: len(running.replies(said)) == 2)
    assert running.replies(said) == ["echo all of you"] * 2


async def address_can_be_saved_in_the_console(running: Site, bot: str) -> None:
    app = running.apps[bot]
    assert await running.playground.challenge(app)
    assert await running.playground.challenge(app, app.event_url.replace(f"/webhook/{bot}", f"/webhook?bot_id={bot}"))
    assert not await running.playground.challenge(app, app.event_url + "-unknown")


async def test_repeated_event_is_handled_once(running: Site) -> None:
    said = await running.says("counting", "once")
    await until(lambda: running.replies(said))
    for fresh_id in (False, True):
        again = running.playground.deliveries.again(said.deliveries[0], fresh_id=fresh_id)
        await asyncio.wait_for(again.settled.wait(), PATIENCE)
        assert again.acked
    # Conversations are kept in order: had the repetition been taken, it would stand before this one.
    assert await running.asks("counting", "twice") == "echo twice"
    assert (running.root / "notes").read_text().split() == ["once", "twice"]
    assert running.replies(said) == ["echo once"]


async def test_buttons_are_answered(running: Site) -> None:
    await button_shows_its_toast_and_changes_the_card(running)
    await repeated_click_gets_the_same_answer(running)
    await late_answer_comes_by_another_way(running)


async def button_shows_its_toast_and_changes_the_card(running: Site) -> None:
    card = await card_of(running)
    clicked = await press(running, card, "now")
    assert clicked.code == 0
    assert clicked.toast is not None
    assert (clicked.toast["type"], clicked.toast["content"]) == ("success", "done")
    assert title(card) == "closed"


async def repeated_click_gets_the_same_answer(running: Site) -> None:
    card = await card_of(running)
    first = await press(running, card, "now")
    running.playground.world.messages[card.message_id].content = card.content.replace("closed", "open")
    # The card that it was pressed on is gone; Feishu repeats its callback all the same.
    answer = await running.playground.click(
        card.chat.users[0], card.message_id, {"tag": "button", "value": {"action": "now"}}, event_id=first.event_id
    )
    assert answer.toast == first.toast
    assert title(card) == "closed"


async def late_answer_comes_by_another_way(running: Site) -> None:
    card = await card_of(running)
    clicked = await press(running, card, "late")
    assert (clicked.code, clicked.toast, clicked.card_changed) == (0, None, False)
    assert title(card) == "open"
    (running.root / "late").touch()
    await until(lambda: title(card) == "closed late")
    await until(lambda: "done at last" in card.chat.messages[-1].content)
