"""Keeping claims alive, and giving free what was left behind: expired leases, due retries, orphans."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from app.core.keys import Keys
from app.core.lua import Script
from app.core.redis import RedisLink, guard, literally, scan
from app.queue.mailbox import LEASE_MS
from app.queue.work import Work

_HERE = Path(__file__).parent
_KEEPALIVE = Script(_HERE / "keepalive.lua")
_ABANDON = Script(_HERE / "abandon.lua")
_STRANDED = Script(_HERE / "stranded.lua")
_SWEEP = Script(_HERE / "sweep.lua")
_WAKE = Script(_HERE / "wake.lua")

# Bots looked at in one script call: long enough to be cheap at 1,000 bots, short enough that nobody waits for it.
_CHUNK: Final = 100
# Sweeps come every half second; a longer gap means that Redis was away, for the heartbeats too.
_GAP_MS: Final = 2_000
# How long a sweep is remembered. A node that ran before knows all the same, and after a stop of the whole cluster
# the claims are nobody's.
_SWEPT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Swept:
    """How much one sweep made ready."""

    expired: int
    reprieved: int
    """Claims that got another lease, since nobody could extend any while Redis was away."""
    retries: int
    later: int


class Leases:
    """What keeps conversations moving when somebody dies or waits."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._wake = "" if link.cluster else keys.wake
        self._ran = False

    async def extend(self, works: Sequence[Work]) -> list[Work]:
        """Extend the leases of what a process holds; the claims that were lost. For a loop that no bot code blocks."""
        by_bot: defaultdict[str, list[Work]] = defaultdict(list)
        for work in works:
            by_bot[work.bot].append(work)
        lost: list[Work] = []
        for bot, held in by_bot.items():
            pairs = (part for work in held for part in (work.conversation, work.claim))
            gone = set(await _KEEPALIVE(self._link.commands, [self._keys.root(bot)], [LEASE_MS, *pairs]))
            lost += [work for work in held if work.conversation.encode() in gone]
        return lost

    async def sweep(self, bots: Sequence[str]) -> Swept:
        """Make ready what is due or was left behind, in every bot named."""
        return await self._sweep(bots, _digest(bots))

    async def sweep_in_turn(self, bots: Sequence[str], who: str, span: float) -> Swept | None:
        """The same, but by one caller in the cluster within `span` seconds; None when another did it.

        Turns are taken by those who name the same bots: one that knows fewer must not keep the others from theirs.
        """
        digest = _digest(bots)
        with guard():
            mine = await self._link.commands.set(
                self._keys.sweep_turn(digest), who, nx=True, px=max(1, int(span * 1000))
            )
        if mine:
            return await self._sweep(bots, digest)
        self._ran = True  # somebody did
        return None

    async def abandon(self, owner: str, bots: Sequence[str], *, alive: bool = False) -> int:
        """Give free at once what a worker held that is known to be dead; how many conversations.

        Of one that is `alive`, but blocked, the events count no death.
        """
        return await self._abandon(f"{owner} ", bots, alive=alive)

    async def abandon_node(self, node: str, bots: Sequence[str]) -> int:
        """The same for all workers of a node that has just begun anew: those of its earlier life are dead."""
        return await self._abandon(f"{node}:", bots, alive=False)

    async def _abandon(self, claims: str, bots: Sequence[str], *, alive: bool) -> int:
        freed = 0
        for chunk in self._chunks(bots):
            args = [self._wake, claims, "1" if alive else "0", *self._pairs(chunk)]
            reply = await _ABANDON(self._link.commands, [self._keys.root(chunk[0])], args)
            freed += reply[0]
            await self._push_wake(reply[1:])
        return freed

    async def _sweep(self, bots: Sequence[str], digest: str) -> Swept:
        totals = [0, 0, 0, 0]
        head: list[str | int] = [self._wake, LEASE_MS, _GAP_MS, _SWEPT_MS, "1" if self._ran else "0"]
        # In one order on every node: a chunk's first bot has the note of when it was swept.
        for chunk in self._chunks(sorted(bots)):
            swept = self._keys.swept(chunk[0], digest)
            reply = await _SWEEP(self._link.commands, [swept], [*head, *self._pairs(chunk)])
            totals = [total + more for total, more in zip(totals, reply[:4], strict=True)]
            await self._push_wake(reply[4:])
        self._ran = True
        return Swept(*totals)

    def _chunks(self, bots: Sequence[str]) -> Iterator[Sequence[str]]:
        size = 1 if self._link.cluster else _CHUNK
        return (bots[start : start + size] for start in range(0, len(bots), size))

    def _pairs(self, bots: Sequence[str]) -> list[str]:
        return [part for bot in bots for part in (self._keys.root(bot), bot)]

    async def _push_wake(self, bots: Sequence[bytes]) -> None:
        if bots:
            await _WAKE(self._link.commands, [self._keys.wake], bots)

    async def mend_stranded(self, bots: Sequence[str]) -> int:
        """The same for every bot that has mail while none of its conversations stands anywhere."""
        mended = 0
        for chunk in self._chunks(bots):
            roots = [self._keys.root(bot) for bot in chunk]
            for number in await _STRANDED(self._link.commands, roots[:1], roots):
                mended += await self.mend(chunk[number - 1])
        return mended

    async def mend(self, bot: str) -> int:
        """Make ready every conversation of a bot that has mail but stands nowhere; how many. Walks the whole bot."""
        root = self._keys.root(bot)
        mended = 0
        with guard():
            async for key in scan(self._link, f"{literally(root)}mail:*"):
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


def _digest(bots: Sequence[str]) -> str:
    return hashlib.sha1("\n".join(sorted(bots)).encode(), usedforsecurity=False).hexdigest()
