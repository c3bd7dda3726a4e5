"""Makes conversations go on that nobody holds any more: expired claims, due retries, lost wake tokens."""

from __future__ import annotations

from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.model.catalog import Catalog
from app.queue.leases import Leases
from app.worker.outcome import place_of

SWEEP_EVERY: Final = 0.5
# Nothing known leaves mail in conversations that are in no queue, but a Redis restored from an old file may.
_MEND_EVERY: Final = 60.0
# Shorter than the interval, so that a node alone is never kept from its next sweep by its own last turn.
_TURN: Final = 0.4

log = get_logger(__name__)


class Takeover:
    """Sweeps all bots, taking turns with the other nodes: one sweep at a time serves the whole cluster."""

    def __init__(self, leases: Leases, catalog: Catalog, name: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._leases = leases
        self._catalog = catalog
        self._name = name
        self._clock = clock

    async def run(self) -> None:
        """Run until cancelled; outlives every outage."""
        away = False
        mend_at = self._clock.monotonic()
        while True:
            try:
                swept = await self._leases.sweep_in_turn(list(self._catalog.bots), self._name, _TURN)
                away = False
                if swept is not None and self._clock.monotonic() >= mend_at:
                    mend_at = self._clock.monotonic() + _MEND_EVERY
                    if mended := await self._leases.mend_stranded(list(self._catalog.bots)):
                        log.warning("mail that stood nowhere was made ready", conversations=mended)
                if swept is not None and swept.reprieved:
                    log.info("nothing was swept for a while, claims get another lease", conversations=swept.reprieved)
                if swept is not None and swept.expired:
                    log.warning("claims ran out, their conversations go on elsewhere", conversations=swept.expired)
            except StoreUnavailable as error:
                if not away:
                    log.warning("nothing is taken over, Redis is away", error=str(error))
                away = True
            except Exception as error:
                # Without this task no retry would ever be made again.
                log.error("nothing is taken over, this is a fault of the hub", place=place_of(error))
            await self._clock.sleep(SWEEP_EVERY)
