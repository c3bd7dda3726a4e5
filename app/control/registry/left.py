"""Bots whose directories are gone while something still waits for them: nothing else would report it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.ending import within
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.depths import Depth, Depths
from app.storage.keyring import Keyring
from app.storage.vault import DatabaseVault

# This node's files have the bots it has known; the database adds those that only others have.
_ASK_EVERY: Final = 60.0
_ASK_WITHIN: Final = 1.0


class LeftBehind:
    """Finds them by their data keys: a bot that had an event has one, in this node's files and in the database."""

    def __init__(
        self, link: RedisLink, keys: Keys, keyring: Keyring, vault: DatabaseVault, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._depths = Depths(link, keys)
        # A bot that runs as its own process has others beside it, which it does not know.
        self._alone = bool(keys.group)
        self._files = keyring.files
        self._vault = vault
        self._clock = clock
        self._stored: frozenset[str] = frozenset()
        self._asked_at = -math.inf

    async def read(self, configured: Collection[str]) -> Mapping[str, Depth]:
        """What waits for each bot that is not `configured`, if anything does; raises StoreUnavailable."""
        if self._alone:
            return {}
        await self._ask()
        depths = await self._depths.read(sorted((self._stored | self._files.bots()) - set(configured)))
        return {bot: depth for bot, depth in depths.items() if depth.waiting or depth.dead or depth.to_send}

    async def _ask(self) -> None:
        now = self._clock.monotonic()
        if now - self._asked_at < _ASK_EVERY:
            return
        self._asked_at = now
        try:
            self._stored = await within(_ASK_WITHIN, self._vault.bots())
        except (StoreUnavailable, TimeoutError):
            pass  # those that this node has known are still reported


def removed_bot(bot: str, depth: Depth) -> Mapping[str, Any]:
    """Its entry in a list of bots."""
    to_do = (
        f"its directory is gone: put it back, or have what waits dropped (feishu-hub bots drop {bot}), "
        f"or all that is kept of it (feishu-hub keys shred {bot})"
    )
    return {
        "id": bot,
        "state": "removed",
        "app_id": None,
        "handler": None,
        "faults": [to_do],
        "waiting": depth.waiting,
        "dead": depth.dead,
        "to_send": depth.to_send,
    }
