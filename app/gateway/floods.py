"""Lets gateways tell each other of floods, ten times a second and only while there is something to tell."""

from __future__ import annotations

import secrets
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Pipeliner
from app.core.redis import RedisLink
from app.gateway.rates import Rates
from app.gateway.refusals import Refusals

_EVERY: Final = 0.1
# After a failure Redis is left alone for this long (s).
_REST: Final = 1.0

log = get_logger(__name__)


class Floods:
    """Shares the counts of one gateway with all others; no request waits for it."""

    def __init__(
        self, rates: Rates, refusals: Refusals, link: RedisLink, keys: Keys, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._rates = rates
        self._refusals = refusals
        self._keys = keys
        self._clock = clock
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)
        self._gateway = secrets.token_hex(8)
        self._away = False

    async def run(self) -> None:
        """Share until cancelled."""
        while True:
            await self.share()
            await self._clock.sleep(_REST if self._away else _EVERY)

    async def share(self) -> None:
        """Tell the others and hear of theirs, once; without Redis each gateway keeps to its own part."""
        try:
            await self._rates.share(self._pipe, self._keys, self._gateway)
            await self._refusals.share(self._pipe, self._keys)
        except StoreUnavailable as error:
            self._rates.go_alone()
            if not self._away:
                log.warning("floods are bounded by this gateway alone while Redis is away", reason=str(error))
            self._away = True
        else:
            self._away = False
