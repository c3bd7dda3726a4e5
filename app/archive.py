"""Builds the archiver role of a node: what writes the message store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.control.registry.retains import Retains
from app.control.registry.snapshot import Registry
from app.core.ending import running
from app.core.logs import get_logger
from app.core.redis_files import rewrite_files
from app.queue.envelope import Entry
from app.storage.archiver import Archiver
from app.storage.backup_scratch import clear_after_backups
from app.storage.keeping import Keeping
from app.storage.overflow import Overflow
from app.storage.retention import Retention
from app.wiring import Stores

log = get_logger(__name__)


@asynccontextmanager
async def open_archive(stores: Stores, registry: Registry, consumer: str) -> AsyncIterator[Archiver[Entry]]:
    """The archiver, running; at the end it writes what it has read."""
    settings = stores.settings
    overflow = Overflow(settings.data_dir / "archive-overflow.db")
    stores.shreds.tell(overflow.forget)
    archiver = Archiver(
        stores.log,
        Keeping(stores.messages, stores.keyring, registry, stores.letters),
        overflow,
        bots=lambda: tuple(registry.bots),
        consumer=consumer,
        max_lag=settings.archive.max_lag,
    )

    async def rewrite_log() -> None:
        for note in await rewrite_files(stores.link):
            log.warning("what was deleted may still be in redis' files", reason=note)
        clear_after_backups(settings.data_dir)

    retains = Retains(registry)
    retention = Retention(
        stores.database,
        retains.named,
        otherwise=retains.removed,
        expire=stores.letters.expire,
        rewrite_log=rewrite_log,
        group=stores.keys.group,
    )
    archiving = asyncio.create_task(archiver.run(), name="archiver")
    try:
        async with running(retention.run(), "retention"):
            yield archiver
    finally:
        archiver.stop()
        await asyncio.gather(archiving, return_exceptions=True)
