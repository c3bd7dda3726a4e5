"""The drainer's loops: no fault of the hub's own ends them, and their end leaves nothing taken behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from app.channel.tokens import Tokens
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.queue.leases import Leases
from app.queue.work import Work
from tests.unit.channel.node import Catalog, Channel
from tests.unit.channel.test_drain import FREE
from tests.waiting import PATIENCE


@pytest.fixture
def channel(link: RedisLink, keys: Keys, api: FeishuApi, tokens: Tokens, spec: BotSpec) -> Channel:
    return Channel(link, keys, api, tokens, Catalog(spec), FREE)


async def test_what_comes_while_it_stops_is_still_sent(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()
    taking = channel.outbox.queue.mailbox.take

    async def take(*args: Any, **more: Any) -> Any:
        asked.set()
        await answered.wait()
        return await taking(*args, **more)

    monkeypatch.setattr(channel.outbox.queue.mailbox, "take", take)
    message = await channel.put(1)
    async with channel.draining() as drainer:
        await asyncio.wait_for(asked.wait(), PATIENCE)
        stopping = asyncio.create_task(drainer.stop(PATIENCE))
        await asyncio.sleep(0)
        answered.set()
        await stopping
        assert (await channel.state(message)).state == "sent"
        assert not drainer._tasks


async def test_a_fault_ends_neither_the_leases_nor_the_taking(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.channel.drain._BEAT", 0.01)
    extending, next_bot = Leases.extend, channel.outbox.queue.mailbox.next_bot
    faults = ["extend", "next_bot"]

    async def extend(leases: Leases, works: Sequence[Work]) -> list[Work]:
        if "extend" in faults:
            faults.remove("extend")
            raise ValueError
        if works:
            extended.set()
        return await extending(leases, works)

    async def next_one(timeout: float) -> str | None:
        if "next_bot" in faults:
            faults.remove("next_bot")
            raise ValueError
        return await next_bot(timeout)

    async def waits(*_: Any, **_more: Any) -> None:
        await asyncio.Event().wait()

    extended = asyncio.Event()
    monkeypatch.setattr(Leases, "extend", extend)
    monkeypatch.setattr(channel.outbox.queue.mailbox, "next_bot", next_one)
    monkeypatch.setattr(channel.sender, "send", waits)
    await channel.put(1)
    async with channel.draining() as drainer:
        await asyncio.wait_for(extended.wait(), PATIENCE)
        assert not faults
        await drainer.stop(0.01)
