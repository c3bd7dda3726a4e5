"""Frees the conversations of a dead or blocked worker at once, instead of when their leases run out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from app.core.clock import Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.worker.looks import LOOK_EVERY

_PATIENCE: Final = 10.0

log = get_logger(__name__)


class Abandons(Protocol):
    """What frees claims (`app.queue.leases`)."""

    async def abandon(self, owner: str, bots: Sequence[str], *, alive: bool = False) -> int: ...


async def give_free(leases: Abandons, clock: Clock, owner: str, bots: Sequence[str], *, alive: bool = False) -> None:
    """Free an owner's claims on conversations of `bots`; `alive` if the owner may still be working on one."""
    deadline = clock.monotonic() + _PATIENCE
    while clock.monotonic() < deadline:  # after that every lease has run out anyway
        try:
            freed = await leases.abandon(owner, bots, alive=alive)
            # A worker that blocks or has just died may have had a blocked read open, which swallowed the wake
            # tokens of the first pass; it cannot swallow those of a second.
            await clock.sleep(LOOK_EVERY)
            freed += await leases.abandon(owner, bots, alive=alive)
        except StoreUnavailable:
            await clock.sleep(0.5)
        else:
            log.info("conversations of a worker given free", owner=owner, conversations=freed)
            return
