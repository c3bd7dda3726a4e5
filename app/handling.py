"""Builds the worker role of a node: the processes that run bot code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.errors import StoreUnavailable
from app.model.catalog import Catalog
from app.plan import Workers
from app.wiring import Stores
from app.worker.lanes import Lanes


@asynccontextmanager
async def open_lanes(stores: Stores, catalog: Catalog, workers: Workers, owner: str) -> AsyncIterator[Lanes]:
    """The node's lanes, running; `owner` is node and boot. At the end handlers have `drain_timeout` to finish."""
    settings = stores.settings
    lanes = Lanes(
        workers.nursery, workers.dials, stores.leases, catalog, name=owner, processes=settings.worker.processes
    )
    try:
        await stores.leases.abandon_node(owner.partition(":")[0], tuple(catalog.bots))
    except StoreUnavailable:
        pass  # what an earlier life of this node held runs out by itself
    try:
        await lanes.start()
        yield lanes
    finally:
        await lanes.stop(settings.drain_timeout)
