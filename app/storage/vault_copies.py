"""Brings the bots' wrapped data keys into the database in the background, however long that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.logs import get_logger
from app.storage.data_key import DataKey

if TYPE_CHECKING:
    from app.storage.vault import DatabaseVault

_RETRY_FIRST: Final = 1.0
_RETRY_LONGEST: Final = 60.0
_LAST_WRITE: Final = 1.0

log = get_logger(__name__)


class VaultCopies:
    """Data keys on their way into the database; what is not there at the end is tried again at the next start."""

    def __init__(self, vault: DatabaseVault, opens: Callable[[bytes], object], *, clock: Clock = SYSTEM_CLOCK) -> None:
        """`opens` says whether a copy that is there already opens: one that does not is replaced."""
        self._vault = vault
        self._opens = opens
        self._clock = clock
        self._waiting: dict[DataKey, None] = {}
        self._saver: asyncio.Task[None] | None = None
        self._pausing = False
        self._closing = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, held: Iterable[DataKey]) -> None:
        """Have these copied."""
        self._waiting.update(dict.fromkeys(held))
        if self._waiting and (self._saver is None or self._saver.done()):
            self._saver = asyncio.create_task(self._save(), name="data keys to database")

    def forget(self, bot: str) -> None:
        """Copy nothing of this bot that still waits: its keys were shredded."""
        self._waiting = {key: None for key in self._waiting if key.bot != bot}

    async def close(self) -> None:
        """Stop copying; what is being written now is given a moment, for a driver that is cut off leaks."""
        self._closing = True
        if self._saver is not None:
            if not self._pausing:
                await asyncio.wait([self._saver], timeout=_LAST_WRITE)
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)
            self._saver = None

    async def _save(self) -> None:
        pause = _RETRY_FIRST
        while self._waiting and not self._closing:
            batch = list(self._waiting)
            try:
                await self._vault.keep(batch, self._opens)
            except HubError as error:
                log.warning("data keys not copied to the database", keys=len(batch), error=str(error))
                self._pausing = True
                await self._clock.sleep(pause)
                self._pausing = False
                pause = min(pause * 2, _RETRY_LONGEST)
            else:
                for key in batch:
                    self._waiting.pop(key, None)
