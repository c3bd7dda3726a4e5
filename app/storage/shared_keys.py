"""Redis' copy of every bot's wrapped data keys, and the proof of the master key: what all nodes agree on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.lua import Script
from app.core.outage import guard
from app.core.redis import RedisLink, holder
from app.core.redis_nodes import literally, scan
from app.storage.key_record import KeyRecord

_REPLACE = Script(Path(__file__).parent / "replace.lua")

# Seconds for which Redis, or a Cluster's node, is not asked again after a failure: a thousand bots must not each wait
# out a time-out.
_REST: Final = 1.0


class SharedKeys:
    """Reads, and changes only what is still as it was read; every call raises StoreUnavailable without Redis."""

    def __init__(self, link: RedisLink, keys: Keys, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = link
        self._redis = link.commands
        self._keys = keys
        self._clock = clock
        self._rest_until: dict[str, float] = {}

    def name(self, bot: str) -> str:
        """The key in which a bot's record stands."""
        return self._keys.bot(bot, "key")

    @property
    def proof_name(self) -> str:
        """The key of the proof."""
        return self._keys.keycheck

    async def get(self, name: str) -> bytes | None:
        """What stands there."""
        node = holder(self._redis, name)
        if self._clock.monotonic() < self._rest_until.get(node, 0.0):
            raise StoreUnavailable("Redis did not answer a moment ago", retry_after=_REST)
        try:
            with guard():
                value = await self._redis.get(name)
        except StoreUnavailable:
            self._rest_until[node] = self._clock.monotonic() + _REST
            raise
        return value.encode() if isinstance(value, str) else value

    async def set_once(self, name: str, value: bytes) -> bytes:
        """Write if nothing stands there; what stands there afterwards, which may be another's."""
        with guard():
            await self._redis.set(name, value, nx=True)
        kept = await self.get(name)
        if kept is None:
            raise StoreUnavailable(f"Redis: {name} was written and is gone; check maxmemory-policy (noeviction)")
        return kept

    async def replace(self, name: str, old: bytes, new: bytes) -> bool:
        """Write `new` in place of `old`; False, and nothing changed, when something else stands there by now."""
        return bool(await _REPLACE(self._redis, [name], [old, new]))

    async def await_import(self) -> bool:
        """Whether a backup was restored and no data key brought yet, so that nothing is wrapped here."""
        records = [KeyRecord.parse(await self.get(self.name(bot))) for bot in await self.bots()]
        return any(record.absent for record in records) and not any(record.wrapped for record in records)

    async def bots(self) -> list[str]:
        """Every bot that has a record, configured or not."""
        pattern = re.compile(re.escape(self._keys.prefix) + r"\{([a-z0-9][a-z0-9_-]{0,63})\}:key")
        found = set()
        with guard():
            async for name in scan(self._link, f"{literally(self._keys.prefix)}{{*}}:key"):
                if match := pattern.fullmatch(name.decode()):
                    found.add(match[1])
        return sorted(found)
