"""A channel node in the test's own process: it drains an outbox, and sweeps often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from app.channel.deliver import Delivery
from app.channel.drain import Drainer
from app.channel.outbox import Outbox
from app.channel.sender import Sender
from app.core.ending import ended
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.bot import BotSpec
from app.queue.leases import Leases


class Catalog:
    """The bots, which a test may change."""

    def __init__(self, *specs: BotSpec) -> None:
        self.bots: Mapping[str, BotSpec] = {spec.id: spec for spec in specs}

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        pass


@asynccontextmanager
async def channel_node(
    link: RedisLink, keys: Keys, outbox: Outbox, sender: Sender, catalog: Catalog, name: str = "n1"
) -> AsyncIterator[Drainer]:
    """A node that sends what stands on the outbox, eight messages a bot at once."""
    leases = Leases(link, keys.outbox())
    delivery = Delivery(outbox, sender, keep_trying=60, chance=lambda: 0.0)
    drainer = Drainer(outbox, delivery, leases, catalog, f"{name}:b:out", slots=16)

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
