"""The ordered mailboxes: accepting events, taking conversations, ending events; each step one script."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from redis.exceptions import ResponseError

from app.core.errors import Fenced, HubError, StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Pipeliner, Script
from app.core.outage import guard, unavailable
from app.core.redis import COMMAND_TIMEOUT, RedisLink
from app.queue.envelope import Entry
from app.queue.ledger import SENT_TTL
from app.queue.replicas import Replicas
from app.queue.work import Incoming, Receipt, Work, unless_lost

_HERE = Path(__file__).parent
_ACCEPT = Script(_HERE / "accept.lua")
_TAKE = Script(_HERE / "start.lua", _HERE / "take.lua")
_FINISH = Script(_HERE / "start.lua", _HERE / "finish.lua")
_PARK = Script(_HERE / "park.lua")
_WAKE = Script(_HERE / "wake.lua")

# A claim is extended every second; three missed and it is free, so that work goes on elsewhere within 5 s.
LEASE_MS: Final = 3_500
# Part of a commit's time on Cluster (s), so that one node that hangs does not fail it for the bots of all others.
_SLOT_TIMEOUT: Final = 0.5
# Seconds: an author may ask for any span, Redis takes no greater numbers.
_AGES: Final = 100 * 365 * 86400.0
# Bots fetched in one blocking read; more would be no fairer, and lost with a killed worker until the next sweep.
_WAKE_BATCH: Final = 8


log = get_logger(__name__)


class Mailbox:
    """The queue of all bots as gateways and workers see it; every call raises StoreUnavailable without Redis."""

    def __init__(self, link: RedisLink, keys: Keys, *, replicas_ack: int = 0) -> None:
        self._link = link
        self._keys = keys
        # Scripts are bounded in time by what runs them: the client without a time-out of its own saves a task and a
        # timer for every round trip.
        self._scripts = link.commands if link.cluster else link.blocking
        self._pipe = Pipeliner(self._scripts, cluster=link.cluster)
        self._replicas = Replicas(self._scripts, replicas_ack) if replicas_ack else None
        # On Cluster the wake list lives in another slot than the bots: it is pushed in a step of its own, and the
        # sweep mends what a death in between leaves.
        self._wake = "" if link.cluster else keys.wake
        self._woken: deque[str] = deque()
        # Bots whose events Redis refuses, as the log has said.
        self._refused: set[str] = set()

    # -- the gateway's side ----------------------------------------------------------------------------------

    async def accept(self, batch: Sequence[Incoming]) -> Sequence[Receipt | StoreUnavailable]:
        """Keep events safe, in one round trip (on Cluster one a bot); a result for each, in order."""
        if self._link.cluster:
            return await self._accept_each(batch)
        if not batch:  # as when all firings of a bot were missed
            return []
        return list(map(self._receipt, batch, await self._accept_slot(batch)))

    async def _accept_each(self, batch: Sequence[Incoming]) -> Sequence[Receipt | StoreUnavailable]:
        """Bot by bot, since each has a slot of its own: one whose node is away does not fail the others."""
        by_bot: dict[str, list[int]] = {}
        for place, item in enumerate(batch):
            by_bot.setdefault(item.bot, []).append(place)
        results: dict[int, Receipt | StoreUnavailable] = {}

        async def accept(places: Sequence[int]) -> bool:
            try:
                with guard():
                    async with asyncio.timeout(_SLOT_TIMEOUT):
                        replies = await self._accept_slot([batch[place] for place in places])
            except StoreUnavailable as error:
                results.update(dict.fromkeys(places, error))
                return False
            for place, reply in zip(places, replies, strict=True):
                results[place] = self._receipt(batch[place], reply)
            return any(reply[0] == "!" for reply in replies)

        woken = await asyncio.gather(*(accept(places) for places in by_bot.values()))
        try:
            await self._push_wake({bot for bot, wake in zip(by_bot, woken, strict=True) if wake})
        except StoreUnavailable:
            pass  # they are safe; the sweep wakes the bots
        return [results[place] for place in range(len(batch))]

    async def _accept_slot(self, batch: Sequence[Incoming]) -> list[str]:
        args: list[str | bytes | int] = [self._wake]
        for item in batch:
            entry = item.entry
            args += (
                self._keys.root(item.bot),
                item.bot,
                entry.conversation,
                item.ttl,
                item.queue_size,
                item.seen[0],
                item.seen[1] if len(item.seen) > 1 else "",
                entry.packed(),
                entry.sealed,
            )
        root = self._keys.root(batch[0].bot)
        if self._replicas is not None:
            replies = await self._replicas.run(_ACCEPT, root, args, self._keys.confirmed(batch[0].bot))
        else:
            replies = await _ACCEPT(self._scripts, [root], args)
        return [reply.decode() for reply in replies]

    def _receipt(self, item: Incoming, reply: str) -> Receipt | StoreUnavailable:
        mark, rest = reply[0], reply[1:]
        if mark in "+!":
            if self._refused:
                self._refused.discard(item.bot)
            return Receipt("accepted", rest)
        if mark == "=":
            return Receipt("duplicate", rest)
        if mark == "-":
            return Receipt("full")
        if mark != "?":
            raise HubError(f"the accept script answered {mark!r}: the hub's versions do not match")
        if (away := unavailable(ResponseError(rest))) is not None:
            return away
        if item.bot not in self._refused:
            self._refused.add(item.bot)
            log.error("Redis refuses a bot's events", bot=item.bot, reason=rest)
        return Receipt("refused")

    async def depth(self, bot: str) -> int:
        """How many events of a bot wait or are being handled."""
        with guard():
            return int(await self._link.commands.get(self._keys.bot(bot, "depth")) or 0)

    # -- the worker's side -----------------------------------------------------------------------------------

    async def next_bot(self, timeout: float) -> str | None:
        """Wait until some bot has ready conversations; the token is the caller's to take with or give back."""
        if not self._woken:
            # Its client has no time-out; a primary that hangs while a failover goes on says nothing for ever.
            with guard():
                async with asyncio.timeout(timeout + COMMAND_TIMEOUT):
                    found = await self._link.blocking.execute_command(
                        "BLMPOP", timeout, 1, self._keys.wake, "LEFT", "COUNT", _WAKE_BATCH
                    )
            if found:
                self._woken.extend(name.decode() for name in found[1])
        return self._woken.popleft() if self._woken else None

    async def give_back(self, *bots: str) -> None:
        """Put wake tokens back that could not be used."""
        await self._push_wake(set(bots))

    def unused(self) -> list[str]:
        """Tokens that were fetched and not handed out, for a worker that ends."""
        left = list(self._woken)
        self._woken.clear()
        return left

    async def take(self, bot: str, owner: str, limit: int, *, calls: int = 0) -> list[Work]:
        """Claim up to `limit` ready conversations and `calls` callbacks, each with its first event started."""
        root = self._keys.root(bot)
        more, *found = await self._pipe.run(_TAKE, [root], [self._wake, bot, owner, limit, calls, LEASE_MS])
        if more and not self._wake:
            await self._push_wake({bot})
        return [work for reply in found if (work := work_of(bot, owner, reply)) is not None]

    async def finish(self, work: Work, *, go_on: bool = True, another: bool = False) -> Work | None:
        """The event is done; the next of its conversation, started, or None when the conversation was let go.

        With `another`, where the conversation has no more, the first event of one that is ready instead.
        """
        return await self._end(work, "done", go_on, another=another)

    async def delete(self, work: Work, *, go_on: bool = True) -> Work | None:
        """The same where nobody else reads the log: what was done leaves nothing behind."""
        return await self._end(work, "gone", go_on)

    async def bury(self, work: Work, reason: str, detail: str = "", *, go_on: bool = True) -> Work | None:
        """The event goes to the dead letters with the reason; `detail` must not hold message text."""
        return await self._end(work, "dead", go_on, work.entry.packed(), work.entry.sealed, reason, detail)

    async def later(self, work: Work, delay: float, *, go_on: bool = True) -> Work | None:
        """The event re-enters at the end of its conversation after `delay` seconds; the conversation goes on."""
        ms = int(min(delay, _AGES) * 1000)
        return await self._end(work, "later", go_on, ms, work.entry.event_id, ms + SENT_TTL * 1000)

    async def _end(
        self, work: Work, outcome: str, go_on: bool, *more: str | bytes | int, another: bool = False
    ) -> Work | None:
        reply = await self._pipe.run(
            _FINISH,
            [self._keys.root(work.bot)],
            [
                self._wake,
                work.bot,
                work.conversation,
                work.claim,
                work.log_id,
                outcome,
                ("2" if another else "1") if go_on else "0",
                LEASE_MS,
                *more,
            ],
        )
        await self._after(work, reply)
        return work_of(work.bot, work.owner, reply) if len(reply) > 1 else None

    async def retry(self, work: Work, delay: float) -> None:
        """The event is tried again after `delay` seconds; its conversation waits meanwhile."""
        await self._park(work, "retry", int(delay * 1000))

    async def wait(self, work: Work, delay: float) -> None:
        """The same for what is no fault of the event: it counts for none of its tries."""
        await self._park(work, "wait", int(delay * 1000))

    async def release(self, work: Work) -> None:
        """Hand the conversation back as it was taken, so that another goes on with it at once."""
        await self._park(work, "release")

    async def hand_back(self, work: Work) -> None:
        """The same for a process that ends; where that fails, the lease runs out by itself."""
        try:
            await self.release(work)
        except (Fenced, StoreUnavailable):
            pass  # another has it, or will have

    async def _park(self, work: Work, how: str, delay_ms: int = 0) -> None:
        reply = await self._pipe.run(
            _PARK,
            [self._keys.root(work.bot)],
            [self._wake, work.bot, work.conversation, work.claim, work.log_id, how, delay_ms],
        )
        await self._after(work, reply)

    async def _after(self, work: Work, reply: Any) -> None:
        if unless_lost(work, reply) == [b"wake"]:
            await self._push_wake({work.bot})

    async def _push_wake(self, bots: set[str]) -> None:
        if bots:
            await _WAKE(self._scripts, [self._keys.wake], sorted(bots))


def work_of(bot: str, owner: str, reply: Sequence[Any]) -> Work | None:
    """What a script gave to be worked on; None for an entry that cannot be read."""
    conversation, fence, log_id, starts, failures, held, packed, sealed = reply
    try:
        entry = Entry.unpacked(packed, sealed)
    except (HubError, ValueError) as error:
        # Its lease runs out by itself; a newer hub may be able to read it.
        log.error("log entry cannot be read", bot=bot, entry=log_id.decode(), reason=str(error))
        return None
    return Work(
        bot,
        conversation.decode(),
        owner,
        int(fence),
        log_id.decode(),
        int(starts),
        int(failures),
        int(held) / 1000,
        entry,
    )
