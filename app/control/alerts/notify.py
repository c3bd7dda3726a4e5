"""Sends notices to their channels: with retries where they may help, and then by the other channels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from app.control.alerts.channels.channel import Channel
from app.control.alerts.delivery import Delivery
from app.control.alerts.notice import Notice
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError, StoreUnavailable
from app.core.logs import get_logger
from app.core.metrics import ALERT_DELIVERIES

# Seconds between tries with one channel.
RESTS: Final = (1.0, 3.0)
# A notice that reached nobody is tried again for a day: the network may be broken.
_ROUND: Final = 60.0
_ROUNDS: Final = 24 * 60
_SAVED_AGAIN: Final = 1.0

Save = Callable[[Notice], Awaitable[None]]

log = get_logger(__name__)


class Notifier:
    """Sends notices, each in a task of its own."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        *,
        deliveries: dict[str, Delivery] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`deliveries` are those of another notifier of the same channels."""
        self.channels = channels
        self._clock = clock
        self._flights: dict[str, asyncio.Task[None]] = {}
        self.deliveries = {name: Delivery() for name in channels} if deliveries is None else deliveries
        """How each channel does, as this node saw it."""

    def usual(self, wanted: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The channels that alerts go to: those wanted, or all that are not on standby."""
        return wanted or tuple(name for name, channel in self.channels.items() if not channel.standby)

    def send(self, notice: Notice, save: Save) -> None:
        """Begin to send, unless it is on its way; calls `save` with its progress."""
        if notice.id not in self._flights:
            task = asyncio.create_task(self._carry(notice, save), name="alert notice")
            self._flights[notice.id] = task
            task.add_done_callback(lambda _: self._flights.pop(notice.id, None))

    async def test(self, channel: str, notice: Notice) -> None:
        """Send once, to one channel; raises HubError if it did not arrive."""
        await self.channels[channel].send(notice)

    async def stop(self, patience: float = 0.0) -> None:
        """Stop; what is not sent after `patience` seconds is left to whoever evaluates next."""
        flights = list(self._flights.values())
        if flights and patience:
            await asyncio.wait(flights, timeout=patience)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _carry(self, notice: Notice, save: Save) -> None:
        for _ in range(_ROUNDS):
            notice = await self._round(notice, save)
            if notice.reached:
                break
            await self._clock.sleep(_ROUND)
        else:
            log.error("alert reached nobody and is given up", alerts=_names(notice))
        # It is sent again by who finds it kept: until it is not, this node remembers that it has arrived.
        while not await _saved(save, replace(notice, left=())):
            await self._clock.sleep(_SAVED_AGAIN)

    async def _round(self, notice: Notice, save: Save) -> Notice:
        """Each channel that has not got it; where one fails, those too that were not asked."""
        asked = set(notice.left)
        failed: list[str] = []
        waiting = list(notice.left)
        while waiting:
            results = await asyncio.gather(*(self._try(name, notice) for name in waiting))
            for name, arrived in zip(waiting, results, strict=True):
                if arrived:
                    notice = notice.got_by(name)
                else:
                    failed.append(name)
            if any(results):
                await _saved(save, notice)
            waiting = [name for name in self.channels if failed and name not in asked]
            asked.update(waiting)
        return notice

    async def _try(self, name: str, notice: Notice) -> bool:
        channel = self.channels.get(name)
        if channel is None:
            return False  # removed from the configuration since the notice was made
        delivery = self.deliveries[name]
        for rest in (*RESTS, None):
            try:
                await channel.send(notice)
                delivery.failures, delivery.at = 0, self._clock.now()
                ALERT_DELIVERIES.labels(name, "sent").inc()
                return True
            except HubError as error:
                said, again = str(error), error.retryable
                rest = max(rest, error.retry_after or 0.0) if rest is not None else None
            except Exception as error:
                # A library's own words may quote the address.
                said, again = type(error).__name__, True
            ALERT_DELIVERIES.labels(name, "failed").inc()
            if rest is None or not again:
                break
            await self._clock.sleep(rest)
        delivery.failures += 1
        delivery.error, delivery.at = said, self._clock.now()
        log.warning("alert not delivered", channel=name, error=said, alerts=_names(notice))
        return False


async def _saved(save: Save, notice: Notice) -> bool:
    try:
        await save(notice)
    except StoreUnavailable:
        return False
    return True


def _names(notice: Notice) -> list[str]:
    return [item.alert.key for item in notice.items[:5]]
