"""Slots: how much of a bot runs here at once, and whose the rest is."""

from __future__ import annotations

import asyncio

import pytest

from app.core.clock import SYSTEM_CLOCK
from app.sdk.bot import Bot
from app.sdk.card_action import CardAction
from app.sdk.context import Context
from app.sdk.message import Message
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import click, message
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_no_more_conversations_at_once_than_the_bot_may_have(site: Site) -> None:
    bot, gate = Bot(), asyncio.Event()
    at_once = {"messages": 0, "clicks": 0}
    most = dict(at_once)

    async def hold(kind: str) -> None:
        at_once[kind] += 1
        most[kind] = max(most[kind], at_once[kind])
        await gate.wait()
        at_once[kind] -= 1

    @bot.message()
    async def hear(message: Message, ctx: Context) -> None:
        await hold("messages")

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> None:
        await hold("clicks")

    site.add(bot, server={"workers": 3})
    await site.worker()
    for first in (0, 20):  # what was in use is free again, and no more than that
        gate.clear()
        await site.accept(*(message(n, "x", site.cipher, chat=f"oc_{n}") for n in range(first, first + 9)))
        clicks = range(first + 10, first + 16)
        await site.accept(*(click(n, "ok", site.cipher, received=SYSTEM_CLOCK.now()) for n in clicks))
        await until(lambda: at_once == {"messages": 3, "clicks": 4})
        gate.set()
        await until(site.done)
    assert most == {"messages": 3, "clicks": 4}


async def test_what_has_no_room_here_is_another_workers(site: Site) -> None:
    bot, gate, began = Bot(), asyncio.Event(), []

    @bot.message()
    async def hold(message: Message, ctx: Context) -> None:
        began.append(message.text)
        await gate.wait()

    async def absorbed() -> bool:
        return not await site.link.commands.exists(site.keys.wake)

    site.add(bot, server={"workers": 1})
    await site.worker()
    await site.accept(message(0, "word 0", site.cipher))
    await until(lambda: began == ["word 0"])
    await site.accept(message(1, "word 1", site.cipher, chat="oc_2"))
    await until(absorbed)
    await site.worker()
    await until(lambda: began == ["word 0", "word 1"])
    gate.set()
    await until(site.done)
