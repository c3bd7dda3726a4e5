"""The archiver role of a node, built: what writes the message store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.model.catalog import Catalog
from app.storage.archiver import Archiver
from app.storage.overflow import Overflow
from app.wiring import Stores


@asynccontextmanager
async def open_archive(stores: Stores, catalog: Catalog, consumer: str) -> AsyncIterator[None]:
    """The archiver, running; at the end it writes what it has read."""
    settings = stores.settings
    overflow = Overflow(settings.data_dir / "archive-overflow.db")
    stores.shreds.tell(overflow.forget)
    archiver = Archiver(
        stores.log,
        stores.messages,
        overflow,
        bots=lambda: tuple(catalog.bots),
        consumer=consumer,
        max_lag=settings.archive.max_lag,
    )
    running = asyncio.create_task(archiver.run(), name="archiver")
    try:
        yield
    finally:
        archiver.stop()
        await asyncio.gather(running, return_exceptions=True)
