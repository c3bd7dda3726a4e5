"""Listens on a pub/sub channel through every outage, and says when something may have been missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeVar

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.ending import ended
from app.core.errors import StoreUnavailable
from app.core.outage import guard
from app.core.redis import COMMAND_TIMEOUT, RedisLink

# A primary that hangs during a failover stays silent for ever, and somebody waits for what it does not pass on.
_PATIENCE: Final = 1.0
_REST: Final = 0.5

T = TypeVar("T")


async def heard(
    link: RedisLink, channel: str, *, patience: float = _PATIENCE, clock: Clock = SYSTEM_CLOCK
) -> AsyncGenerator[bytes | None, None]:
    """Every message, for ever; None first and after each break, since what was published meanwhile is lost.

    `patience` is how many seconds the channel may be silent before Redis is pinged, and how many it then has to answer.
    """
    while True:
        try:
            with guard():
                async with _subscribed(link, channel) as subscription:
                    while True:
                        message = await _next(subscription, channel, patience)
                        # The client may connect and subscribe again by itself: its confirmation tells of the break.
                        if message["type"] in ("message", "subscribe"):
                            yield message["data"] if message["type"] == "message" else None
        except StoreUnavailable:
            await clock.sleep(_REST)


async def listen(
    link: RedisLink,
    channel: str,
    hear: Callable[[bytes | None], None],
    *,
    patience: float = _PATIENCE,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Pass every message on to `hear`, until cancelled."""
    async with aclosing(heard(link, channel, patience=patience, clock=clock)) as messages:
        async for message in messages:
            hear(message)


async def watch(
    link: RedisLink, channel: str, ask: Callable[[], Awaitable[T | None]], is_last: Callable[[T], bool]
) -> AsyncGenerator[T, None]:
    """What `ask` returns, now and after each message on the channel if it has changed; until the last one, or None.

    The messages themselves are not read: a state that was missed is no longer true. Goes on through an outage.
    """
    changed = asyncio.Event()
    listening = asyncio.create_task(listen(link, channel, lambda _: changed.set()))
    told: T | None = None
    try:
        while True:
            changed.clear()
            try:
                found = await ask()
            except StoreUnavailable:
                found = told  # what changes meanwhile is read when the channel is there again
            else:
                if found is None:
                    return
            if found is not None and found != told:
                yield found
                if is_last(found):
                    return
                told = found
            else:
                await changed.wait()
    finally:
        await ended(listening)


async def _next(subscription: Any, channel: str, patience: float) -> Any:
    """The next thing that redis-py reports, if only the answer to a ping."""
    for asked in (False, True):
        # Its own time-out does not cover reconnecting.
        async with asyncio.timeout(patience + COMMAND_TIMEOUT):
            message = await subscription.get_message(timeout=patience)
            if message is not None:
                return message
            if not asked:
                await subscription.ping()
    raise StoreUnavailable(f"Redis does not answer on the channel {channel}")


@asynccontextmanager
async def _subscribed(link: RedisLink, channel: str) -> AsyncIterator[Any]:
    """redis-py's own subscription to a channel. Raises as redis-py does."""
    # On Cluster it asks for the channel's slot, which a client that has sent nothing yet does not know.
    await link.blocking.initialize()
    async with link.blocking.pubsub() as subscription:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            await subscription.subscribe(channel)
        yield subscription
