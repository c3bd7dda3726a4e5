"""A Redis that comes back without its last writes gives conversations out once more."""

from __future__ import annotations

import asyncio

import pytest

from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.message import Message
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import message
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_a_fence_that_redis_gives_a_second_time_leaves_one_handler(site: Site) -> None:
    bot, gate, began, stopped = Bot(), asyncio.Event(), list[str](), list[str]()

    @bot.message()
    async def hold(message: Message, ctx: Context) -> None:
        began.append(message.text)
        try:
            await gate.wait()
        except asyncio.CancelledError:
            stopped.append(message.text)
            raise

    site.add(bot)
    await site.accept(message(1, "first", site.cipher), message(2, "second", site.cipher))
    await site.worker()
    await until(lambda: began)
    # It crashed, and its file ends before the claim.
    async with site.link.commands.pipeline(transaction=True) as pipe:
        pipe.delete(*(site.keys.bot("echo", part) for part in ("fence", "lease", "tries")))
        pipe.hset(site.keys.bot("echo", "claim"), "oc_1", "r")
        pipe.rpush(site.keys.bot("echo", "ready"), "oc_1")
        pipe.rpush(site.keys.wake, "echo")
        await pipe.execute()
    await until(lambda: len(began) == 2)
    await until(lambda: stopped == ["first"])
    gate.set()
    await until(site.done)
    assert began == ["first", "first", "second"]
