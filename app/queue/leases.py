"""Keeps claims alive, and frees what was left behind: expired leases, due retries, orphans."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import redis

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.lua import Pipeliner, Script, in_one_place
from app.core.outage import guard
from app.core.redis import RedisLink
from app.core.redis_nodes import literally, scan
from app.core.though_full import though_full
from app.core.wire import Arg
from app.queue.damage import SPARE, beside_damage
from app.queue.mailbox import LEASE_MS
from app.queue.slots import as_far_as_possible, together
from app.queue.work import Work

_HERE = Path(__file__).parent
_KEEPALIVE = Script(SPARE, _HERE / "keepalive.lua")
_ABANDON = Script(SPARE, _HERE / "abandon.lua")
_MEND = Script(_HERE / "mend.lua")
_STRANDED = Script(SPARE, _HERE / "stranded.lua")
_SWEEP = Script(SPARE, _HERE / "sweep.lua")
_WAKE = Script(_HERE / "wake.lua")

# Bots looked at in one script call: enough to be cheap at 1,000 bots, few enough that nobody waits for it.
_CHUNK: Final = 100
# Claims extended in one: the same.
_CLAIMS: Final = 250
# Sweeps come every half second; a longer gap means that Redis was away, for the heartbeats too.
_GAP_MS: Final = 2_000
# How long a sweep is remembered. A node that was running knows of a longer outage by itself, and after a stop of the
# whole cluster nobody holds the claims.
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
        # One script a round trip, so that others come between; on Cluster each is of one bot.
        self._pipe = Pipeliner(link.commands, cluster=link.cluster, max_calls=256 if link.cluster else 1)
        self._ran = False

    async def extend(self, works: Sequence[Work]) -> list[Work]:
        """Extend the leases of what a process holds, on a loop that no bot code blocks; the claims that were lost."""
        steps = list(together(works, _bot_of, _CLAIMS, cluster=self._link.cluster))
        calls = (self._pipe.submit(_KEEPALIVE, *_to_extend(self._keys, some, LEASE_MS)) for some in steps)
        return [
            some[number - 1]
            for some, gone in zip(steps, await as_far_as_possible(calls), strict=True)
            if not isinstance(gone, StoreUnavailable)
            for number in gone
        ]

    async def sweep(self, bots: Sequence[str]) -> Swept:
        """Make ready what is due or was left behind, in every bot named."""
        head: list[Arg] = [self._wake, LEASE_MS, _GAP_MS, _SWEPT_MS, "1" if self._ran else "0"]
        note = _digest(bots)
        replies = await as_far_as_possible(
            self._pipe.submit(_SWEEP, [self._keys.swept(chunk[0], note)], [*head, *self._pairs(chunk)])
            # In one order on every node: a chunk's first bot has the note of when it was swept.
            for chunk in self._chunks(sorted(bots))
        )
        self._ran = True
        return Swept(*await self._woken(replies, 4))

    async def sweep_in_turn(self, bots: Sequence[str], who: str, span: float) -> Swept | None:
        """The same, but by one caller in the cluster within `span` seconds; None when another did it.

        Turns are taken by those who name the same bots: one that knows fewer must not keep the others from theirs.
        """
        turn = self._keys.sweep_turn(_digest(bots))
        if await though_full(self._link.commands, "SET", turn, who, "NX", "PX", max(1, int(span * 1000))):
            return await self.sweep(bots)
        self._ran = True  # somebody did
        return None

    async def abandon(self, owner: str, bots: Sequence[str], *, alive: bool = False) -> int:
        """Free at once what a dead worker held; how many conversations.

        If the worker is `alive` but blocked, its events count no death.
        """
        return await self._abandon(f"{owner} ", bots, alive=alive)

    async def abandon_node(self, node: str, bots: Sequence[str]) -> int:
        """The same for all workers of a node that has just restarted: those of its earlier life are dead."""
        return await self._abandon(f"{node}:", bots, alive=False)

    async def _abandon(self, claims: str, bots: Sequence[str], *, alive: bool) -> int:
        args = self._wake, claims, "1" if alive else "0"
        replies = await as_far_as_possible(
            self._pipe.submit(_ABANDON, [self._keys.root(chunk[0])], [*args, *self._pairs(chunk)])
            for chunk in self._chunks(bots)
        )
        return sum(await self._woken(replies, 1))

    async def _woken(self, replies: Sequence[Any], counts: int) -> list[int]:
        """Wake the bots that the replies name after their first `counts` numbers; the sums of these."""
        had = [beside_damage(reply) for reply in replies if not isinstance(reply, StoreUnavailable)]
        if bots := [bot for reply in had for bot in reply[counts:]]:
            await _WAKE(self._link.commands, [self._keys.wake], bots)
        return [sum(reply[place] for reply in had) for place in range(counts)]

    def _chunks(self, bots: Sequence[str]) -> Iterator[Sequence[str]]:
        return together(bots, str, _CHUNK, cluster=self._link.cluster)

    def _pairs(self, bots: Sequence[str]) -> list[str]:
        return [part for bot in bots for part in (self._keys.root(bot), bot)]

    async def mend_stranded(self, bots: Sequence[str]) -> int:
        """`mend` every bot that has mail while none of its conversations stands anywhere; how many conversations."""
        mended = 0
        for chunk in self._chunks(bots):
            pairs = self._pairs(chunk)
            for number in beside_damage(await _STRANDED(self._link.commands, pairs[:1], pairs)):
                mended += await self.mend(chunk[number - 1])
        return mended

    async def mend(self, bot: str) -> int:
        """Make ready every conversation of a bot that has mail but stands nowhere; how many. Walks the whole bot."""
        root = self._keys.root(bot)
        mended = 0
        with guard():
            async for key in scan(self._link, f"{literally(root)}mail:*"):
                mended += await _MEND(self._link.commands, [root], [key[len(root) + 5 :]])
        return mended


def keep_alive(
    client: redis.Redis | redis.RedisCluster, keys: Keys, works: Sequence[Work], *, lease_ms: int = LEASE_MS
) -> list[Work]:
    """Extend the leases of what a process holds; the claims that were lost.

    Synchronous: it runs in the worker's heartbeat thread, which goes on when bot code blocks the loop.
    """
    cluster = client if isinstance(client, redis.RedisCluster) else None
    lost: list[Work] = []
    away: set[str] = set()
    failure: StoreUnavailable | None = None
    reached = False
    for some in together(works, _bot_of, _CLAIMS, cluster=cluster is not None):
        [key], args = _to_extend(keys, some, lease_ms)
        named = in_one_place([key]) if cluster is not None else [key]
        node = ""
        try:
            with guard():
                node = cluster.get_node_from_key(key).name if cluster is not None else ""
                if node not in away:  # what it holds would wait as long once more, and all others with it
                    gone = client.eval(_KEEPALIVE.text.decode(), len(named), *named, *args)
                    lost += [some[number - 1] for number in gone]
                    reached = True
        except StoreUnavailable as error:
            away.add(node)
            failure = error
    if failure is not None and not reached:
        raise failure
    return lost


def _to_extend(keys: Keys, works: Sequence[Work], lease_ms: int) -> tuple[list[str], list[Arg]]:
    """The key and the arguments of the script."""
    args: list[Arg] = [lease_ms]
    for work in works:
        args += (keys.root(work.bot), work.conversation, work.claim)
    return [keys.root(works[0].bot)], args


_bot_of: Final = attrgetter("bot")


def _digest(bots: Sequence[str]) -> str:
    return hashlib.sha1("\n".join(sorted(bots)).encode(), usedforsecurity=False).hexdigest()
