"""The scheduler role's part for bots, built: what makes events of schedules and reminders that are due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.control.scheduler.firing import Firing
from app.core.ending import ended
from app.model.catalog import Catalog
from app.wiring import Stores


@asynccontextmanager
async def open_schedules(stores: Stores, catalog: Catalog) -> AsyncIterator[None]:
    """The firing, running."""
    firing = Firing(stores.timetable, stores.mailbox, stores.keyring, catalog)
    running = asyncio.create_task(firing.run(), name="schedules")
    try:
        yield
    finally:
        await ended(running)
