"""Events given to an acceptor together, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import Unavailable
from app.gateway.accept import Acceptor
from app.queue.work import Incoming
from tests.unit.gateway.kit import incoming
from tests.waiting import PATIENCE


def due(seconds: float = PATIENCE) -> float:
    return SYSTEM_CLOCK.monotonic() + seconds


async def take(acceptor: Acceptor, *events: Incoming) -> list[str]:
    """What becomes of events that arrive together: a status, or 'refused'."""

    async def one(event: Incoming) -> str:
        try:
            return (await acceptor.accept(event, due())).status
        except Unavailable:
            return "refused"

    return list(await asyncio.gather(*(one(event) for event in events)))


async def many(acceptor: Acceptor, numbers: Sequence[int], **event: str) -> list[str]:
    return await take(acceptor, *(incoming(number, **event) for number in numbers))  # type: ignore[arg-type]
