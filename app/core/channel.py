"""Listening on a pub/sub channel through every outage, and saying when something may have been missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.redis import COMMAND_TIMEOUT, RedisLink, guard

# A primary that hangs while a failover goes on says nothing for ever, and somebody waits for what it does not pass on.
_PATIENCE: Final = 1.0
_REST: Final = 0.5


@asynccontextmanager
async def subscribed(link: RedisLink, channel: str, *, quiet: bool = True) -> AsyncIterator[Any]:
    """redis-py's own subscription to a channel; `quiet` leaves out that it was made. Raises as redis-py does."""
    # On Cluster it asks for the channel's slot, which a client that has sent nothing yet does not know.
    await link.blocking.initialize()
    async with link.blocking.pubsub(ignore_subscribe_messages=quiet) as subscription:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            await subscription.subscribe(channel)
        yield subscription


async def listen(
    link: RedisLink,
    channel: str,
    heard: Callable[[bytes | None], None],
    *,
    patience: float = _PATIENCE,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Give `heard` every message until cancelled; None first and after each break, since what was said then is lost.

    `patience` is for how many seconds the channel may be silent before Redis is asked, and how long it then has.
    """
    while True:
        try:
            with guard():
                async with subscribed(link, channel, quiet=False) as subscription:
                    await _hear(subscription, channel, heard, patience)
        except StoreUnavailable:
            await clock.sleep(_REST)


async def _hear(subscription: Any, channel: str, heard: Callable[[bytes | None], None], patience: float) -> None:
    asked = False
    while True:
        # Its own time-out does not cover the connection that it makes anew.
        async with asyncio.timeout(patience + COMMAND_TIMEOUT):
            message = await subscription.get_message(timeout=patience)
            if message is None and asked:
                raise StoreUnavailable(f"Redis does not answer on the channel {channel}")
            if message is None:
                await subscription.ping()
        asked = message is None
        # The client may connect and subscribe again by itself: its confirmation then tells of the break.
        if message is not None and message["type"] in ("message", "subscribe"):
            heard(message["data"] if message["type"] == "message" else None)
