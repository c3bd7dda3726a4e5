"""Takes what was shredded out of a node's own database: whoever shredded it reached one database only."""

from __future__ import annotations

import asyncio
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.logs import get_logger
from app.storage.messages import Messages
from app.storage.vault import DatabaseVault

# Until what the archiver had read under the old key is stored, and Redis has no more of it.
_SETTLE: Final = 2.0
_REST: Final = 10.0

log = get_logger(__name__)


class ShreddedRows:
    """Deletes them in the background: there may be millions, the database may be away, a reader in the way."""

    def __init__(self, vault: DatabaseVault, messages: Messages, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._vault = vault
        self._messages = messages
        self._clock = clock
        self._told: dict[str, frozenset[bytes]] = {}
        self._news = asyncio.Event()
        # One that was killed before its last step has left no word of it.
        self._scrub = True

    async def forget(self, bot: str, key_ids: frozenset[bytes]) -> None:
        """Have the rows go that hold these data keys, or lie under them."""
        self._told[bot] = key_ids
        self._news.set()

    async def run(self) -> None:
        """Do what was told until cancelled; what fails is tried again."""
        failed = False
        while True:
            await self._news.wait()
            self._news.clear()
            await self._clock.sleep(_REST if failed else _SETTLE)
            try:
                await self._delete()
                failed = False
            except HubError as error:
                if not failed:
                    log.warning("shredded bots not forgotten in the database yet", error=str(error))
                failed = True
                self._news.set()
            except Exception as error:
                # A damaged row, say: the next news tries again, and nothing else waits for this.
                log.error("shredded bots not forgotten in the database", error=type(error).__name__, exc_info=True)

    async def _delete(self) -> None:
        while self._told:
            bot, gone = next(iter(self._told.items()))
            # Their keys are destroyed last: until then they say that this has still to be done.
            if not gone <= (await self._vault.of(bot)).destroyed:
                await self._messages.shred(bot, gone)
                await self._vault.destroy(bot, gone)
                self._scrub = True
            if self._told.get(bot) == gone:
                del self._told[bot]
        if self._scrub:
            await self._vault.scrub()
            self._scrub = False
