"""A channel node in the test's own process: it drains an outbox, and sweeps often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from app.channel.deliver import Delivery
from app.channel.drain import OutboxDrainer
from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.outbox import Outbox
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.core.ending import ended
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.queue.leases import Leases
from app.queue.outbox import OutboxQueue
from app.queue.outgoing import MessageState
from tests.unit.channel.parts import PlainSeal, cache_of, text


class Catalog:
    """The bots, which a test may change."""

    def __init__(self, *specs: BotSpec) -> None:
        self.bots: Mapping[str, BotSpec] = {spec.id: spec for spec in specs}

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        pass


@asynccontextmanager
async def channel_node(
    link: RedisLink, keys: Keys, outbox: Outbox, sender: Sender, catalog: Catalog, name: str = "n1"
) -> AsyncIterator[OutboxDrainer]:
    """A node that sends what stands on the outbox, eight messages a bot at once."""
    leases = Leases(link, keys.outbox())
    delivery = Delivery(outbox, sender, keep_trying=60, chance=lambda: 0.0)
    drainer = OutboxDrainer(outbox, delivery, leases, catalog, f"{name}:b:out", slots=16)

    async def sweep() -> None:
        while True:
            await leases.sweep(list(catalog.bots))
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(drainer.run()), asyncio.create_task(sweep())]
    try:
        yield drainer
    finally:
        await drainer.stop(1.0)
        for task in tasks:
            await ended(task)


class Channel:
    """An outbox over the test's Redis and Feishu, and the node that drains it."""

    def __init__(
        self, link: RedisLink, keys: Keys, api: FeishuApi, tokens: Tokens, bots: Catalog, limits: SendLimits
    ) -> None:
        self.outbox = Outbox(OutboxQueue(link, keys), PlainSeal())
        self.leases = Leases(link, keys.outbox())
        self.bots = bots
        self.sender = Sender(api, tokens, Limiter(link, keys, limits), cache_of(link, keys))
        self.draining = partial(channel_node, link, keys, self.outbox, self.sender, bots)

    async def put(self, number: int, chat: str = "oc_1", bot: str = "support") -> str:
        message_id = f"{bot}-{chat}-{number}"
        assert await self.outbox.put(bot, message_id, text(chat, f"{number}")) == "queued"
        return message_id

    async def state(self, message_id: str, bot: str = "support") -> MessageState:
        found = await self.outbox.queue.state(bot, message_id)
        assert found is not None
        return found

    async def is_final(self, *message_ids: str) -> bool:
        return all([(await self.state(one)).is_final for one in message_ids])
