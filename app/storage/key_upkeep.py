"""Keeps a running node's keys up to date: notices a changed master key and renews what it wraps, in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.storage.keyring import Keyring
from app.storage.rewrap import Rewrap

LOOK_EVERY: Final = 1.0
# While there are several master keys: a node that had not yet seen the new one may have wrapped under the old.
_AGAIN_EVERY: Final = 60.0

Lacking = Callable[[str], Awaitable[Sequence[str]]]
"""The living nodes that do not hold the master key of this id yet; raises StoreUnavailable."""

log = get_logger(__name__)


class KeyUpkeep:
    """Runs beside a node's roles; wraps under a new master key only when every living node holds it."""

    def __init__(self, keyring: Keyring, rewrap: Rewrap, lacking: Lacking, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._keyring = keyring
        self._rewrap = rewrap
        self._lacking = lacking
        self._clock = clock
        self._done: tuple[str, ...] = ()
        self._done_at = 0.0
        self._waiting_for: Sequence[str] = ()

    @property
    def says(self) -> Mapping[str, str]:
        """For the heartbeat: the ids of the master keys held, and whether the first wraps all that is here."""
        ids = self._keyring.master.ids
        return {"master_keys": ",".join(ids), "rewrapped": str(int(self._done == ids))}

    async def run(self) -> None:
        """Look every second until cancelled; whoever is away is waited for."""
        while True:
            await asyncio.to_thread(self._keyring.master.read_again)
            try:
                await self._look()
            except StoreUnavailable as error:
                log.debug("data keys are not wrapped anew yet", error=str(error))
            except Exception as error:
                # Nothing that the hub does waits for this.
                log.error("data keys could not be wrapped anew", error=type(error).__name__, exc_info=True)
                await self._clock.sleep(_AGAIN_EVERY)
            await self._clock.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        ids = self._keyring.master.ids
        if len(ids) == 1:
            self._done = ids
            return
        if ids == self._done and self._clock.monotonic() - self._done_at < _AGAIN_EVERY:
            return
        lacking = await self._lacking(ids[0])
        if lacking and lacking != self._waiting_for:
            log.warning("nodes do not hold the new master key yet", key=ids[0], nodes=lacking)
        self._waiting_for = lacking
        if lacking:
            return
        if done := await self._rewrap.run():
            log.info("data keys wrapped anew", key=ids[0], copies=done)
        self._done, self._done_at = ids, self._clock.monotonic()
