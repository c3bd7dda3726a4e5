"""Keeping claims alive, and giving free what was left behind: expired leases, due retries, orphans."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from app.core.keys import Keys
from app.core.lua import Script
from app.core.redis import RedisLink, guard
from app.queue.mailbox import LEASE_MS

_HERE = Path(__file__).parent
_KEEPALIVE = Script(_HERE / "keepalive.lua")
_SWEEP = Script(_HERE / "sweep.lua")
_WAKE = Script(_HERE / "wake.lua")

# Bots looked at in one script call: long enough to be cheap at 1,000 bots, short enough that nobody waits for it.
_CHUNK: Final = 100


@dataclass(frozen=True, slots=True)
class Swept:
    """How much one sweep made ready."""

    expired: int
    retries: int
    later: int


class Leases:
    """What keeps conversations moving when somebody dies or waits."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._wake = "" if link.cluster else keys.wake

    async def sweep(self, bots: Sequence[str]) -> Swept:
        """Make ready what is due or was left behind, in every bot named."""
        return await self._sweep(bots, "")

    async def sweep_in_turn(self, bots: Sequence[str], who: str, span: float) -> Swept | None:
        """The same, but by one caller in the cluster within `span` seconds; None when another did it.

        Turns are taken by those who name the same bots: one that knows fewer must not keep the others from theirs.
        """
        turn = self._keys.sweep_turn(hashlib.sha1("\n".join(sorted(bots)).encode(), usedforsecurity=False).hexdigest())
        with guard():
            mine = await self._link.commands.set(turn, who, nx=True, px=max(1, int(span * 1000)))
        return await self._sweep(bots, "") if mine else None

    async def abandon(self, owner: str, bots: Sequence[str]) -> int:
        """Give free at once what a worker held that is known to be dead; how many conversations."""
        return (await self._sweep(bots, owner)).expired

    async def _sweep(self, bots: Sequence[str], owner: str) -> Swept:
        expired = retries = later = 0
        size = 1 if self._link.cluster else _CHUNK
        for start in range(0, len(bots), size):
            chunk = bots[start : start + size]
            pairs = [part for bot in chunk for part in (self._keys.root(bot), bot)]
            reply = await _SWEEP(self._link.commands, [self._keys.root(chunk[0])], [self._wake, owner, *pairs])
            expired, retries, later = expired + reply[0], retries + reply[1], later + reply[2]
            if reply[3:]:
                await _WAKE(self._link.commands, [self._keys.wake], reply[3:])
        return Swept(expired, retries, later)

    async def mend_stranded(self, bots: Sequence[str]) -> int:
        """The same for every bot that has mail while none of its conversations stands anywhere."""
        mended = 0
        for bot in bots:
            with guard():
                depth = await self._link.commands.get(self._keys.bot(bot, "depth"))
                stand = await self._link.commands.hlen(self._keys.bot(bot, "claim"))
            if int(depth or 0) > 0 and stand == 0:
                mended += await self.mend(bot)
        return mended

    async def mend(self, bot: str) -> int:
        """Make ready every conversation of a bot that has mail but stands nowhere; how many. Walks the whole bot."""
        root = self._keys.root(bot)
        mended = 0
        with guard():
            async for key in self._link.commands.scan_iter(match=f"{_escaped(root)}mail:*", count=500):
                conversation = key[len(root) + 5 :]
                if await self._link.commands.hsetnx(f"{root}claim", conversation, "r"):
                    await self._link.commands.rpush(f"{root}ready", conversation)
                    mended += 1
        return mended


def keep_alive(
    client: redis.Redis, keys: Keys, bot: str, claims: Sequence[tuple[str, str]], *, lease_ms: int = LEASE_MS
) -> list[str]:
    """Extend the leases of (conversation, claim) pairs of a bot; the conversations that were lost.

    Synchronous: it runs in the worker's heartbeat thread, which goes on when bot code blocks the loop.
    """
    args = [str(lease_ms), *(part for pair in claims for part in pair)]
    with guard():
        lost = client.eval(_KEEPALIVE.text.decode(), 1, keys.root(bot), *args)
    return [name.decode() for name in lost]


def _escaped(pattern: str) -> str:
    for special in "\\*?[]":
        pattern = pattern.replace(special, "\\" + special)
    return pattern
