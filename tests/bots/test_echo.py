"""The echo bot."""

from __future__ import annotations

import pytest

from app.sdk import BotTest
from bots.echo import bot


@pytest.mark.parametrize("written", ["ping", "/ping", "Ping"])
async def test_ping(written: str) -> None:
    assert await BotTest(bot).message(written) == ["pong"]


async def test_repeats_what_it_is_told() -> None:
    test = BotTest(bot)
    assert await test.message("你好") == ["你好"]
    assert await test.message("hello", group=True) == ["hello"]


async def test_stays_out_of_other_peoples_talk() -> None:
    assert await BotTest(bot).message("hello", group=True, mention=False) == []


async def test_notifies_nobody_on_anothers_behalf() -> None:
    [text] = await BotTest(bot).message('<at user_id="all"></at> hi')
    assert "<at" not in str(text)


async def test_names_what_is_no_text() -> None:
    [text] = await BotTest(bot).message(type="image", content={"image_key": "img_1"})
    assert "image" in str(text)
