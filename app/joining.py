"""A node's way into its cluster: master key proved, id taken, Redis found fit; without Redis as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from app.control.cluster.membership import Membership
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.ending import ended, running
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.core.redis_nodes import check_external
from app.storage.key_check import check_master
from app.wiring import Stores

# How long a node waits at its start for a Redis that is being started beside it.
_REDIS_PATIENCE: Final = 10.0
_ASK_EVERY: Final = 0.2

log = get_logger(__name__)


@asynccontextmanager
async def joined(
    stores: Stores, membership: Membership, *, clock: Clock = SYSTEM_CLOCK
) -> AsyncIterator[asyncio.Task[None]]:
    """The node beats; StartError where the cluster refuses it. So does the task, where Redis comes only later."""
    admission = asyncio.create_task(_admitted(stores, membership, clock), name="admission")
    try:
        await asyncio.wait({admission}, timeout=_REDIS_PATIENCE)
        if admission.done():
            admission.result()
        else:
            # The spool takes events meanwhile: better than no hub at all.
            log.warning("redis is away, the node starts without it")
        try:
            async with running(membership.run(), "heartbeat"):
                yield admission
        finally:
            await _leave(membership)
    finally:
        await ended(admission)


async def _leave(membership: Membership) -> None:
    try:
        await membership.leave()
    except StoreUnavailable:
        pass  # its last beat runs out by itself


async def _admitted(stores: Stores, membership: Membership, clock: Clock) -> None:
    waited = False
    while True:
        try:
            warnings = await check_external(stores.link)
            await check_master(stores.keyring)
            await membership.join()
            break
        except StoreUnavailable as error:
            if not waited:
                log.warning("the node waits for redis, to join its cluster", error=str(error))
            waited = True
            await clock.sleep(_ASK_EVERY)
    for warning in warnings:
        log.warning("redis is not safe as it is set up", warning=warning)
