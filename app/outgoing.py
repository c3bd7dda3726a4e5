"""Builds the channel role of a node: what sends the messages of the outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.channel.deliver import Delivery
from app.channel.drain import OutboxDrainer
from app.channel.sender import Sender
from app.core.ending import running
from app.core.errors import StoreUnavailable
from app.model.catalog import Catalog
from app.queue.leases import Leases
from app.wiring import Stores
from app.worker.takeover import Takeover


@asynccontextmanager
async def open_outgoing(stores: Stores, catalog: Catalog, sender: Sender, node: str, boot: str) -> AsyncIterator[None]:
    """The drainer, running; at the end it sends what it has begun, and hands the rest back."""
    settings = stores.settings.outbox
    owner = f"{node}:{boot}"
    leases = Leases(stores.link, stores.keys.outbox())
    delivery = Delivery(stores.outbox, sender, keep_trying=settings.keep_trying)
    drainer = OutboxDrainer(stores.outbox, delivery, leases, catalog, f"{owner}:out", slots=settings.concurrency)
    try:
        await leases.abandon_node(node, tuple(catalog.bots))
    except StoreUnavailable:
        pass  # those leases run out by themselves
    takeover = Takeover(leases, catalog, owner)
    async with running(takeover.run(), "outbox takeover"), running(drainer.run(), "outbox"):
        try:
            yield
        finally:
            await drainer.stop(stores.settings.drain_timeout)
