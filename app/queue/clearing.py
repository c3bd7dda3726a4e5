"""Drops what waits for a bot that nobody serves any more: its events, its dead letters, its messages to send."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from app.core.keys import Keys
from app.core.outage import guard
from app.core.redis import RedisLink
from app.queue.dead_letters import DeadLetters
from app.queue.leases import Leases
from app.queue.mailbox import Mailbox
from app.queue.outbox import OutboxQueue
from app.queue.work import Work

# Conversations gone through at once.
_AT_ONCE: Final = 100
_WHY: Final = "dropped by an operator, with all that waited for the bot"


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was dropped, and how many events and messages some node still holds."""

    events: int
    dead: int
    to_send: int
    held: int


class Clearing:
    """Takes everything as a worker would, and ends it, so that it is still archived. Raises StoreUnavailable."""

    def __init__(
        self, link: RedisLink, keys: Keys, mailbox: Mailbox, outbox: OutboxQueue, letters: DeadLetters
    ) -> None:
        self._link = link
        self._keys = keys
        self._mailbox = mailbox
        self._outbox = outbox
        self._letters = letters
        # Without a space, which ends an owner's name in a claim.
        self._owner = f"clearing:{secrets.token_hex(4)}"

    async def clear(self, bot: str) -> Cleared:
        """Drop all of it; raises Fenced if another takes what is being dropped."""
        box = self._outbox.mailbox
        events = await self._empty(bot, self._keys, self._mailbox, self._mailbox.finish)
        to_send = await self._empty(bot, self._keys.outbox(), box, self._fail)
        dead = await self._letters.clear(bot)
        held = await self._mailbox.depth(bot) + await box.depth(bot)
        return Cleared(events, dead, to_send, held)

    async def _empty(
        self, bot: str, keys: Keys, mailbox: Mailbox, end: Callable[[Work], Awaitable[Work | None]]
    ) -> int:
        leases, gone = Leases(self._link, keys), 0

        async def through(work: Work | None) -> None:
            nonlocal gone
            while work is not None:
                work = await end(work)
                gone += 1

        # Nothing else looks after a bot without a directory: neither after what waits for a time, nor after lost
        # conversations.
        for part in ("delayed", "later"):
            await self._due_now(keys.bot(bot, part))
        await leases.mend(bot)
        await leases.sweep([bot])
        while works := await mailbox.take(bot, self._owner, _AT_ONCE, calls=_AT_ONCE):
            await asyncio.gather(*map(through, works))
        return gone

    async def _due_now(self, name: str) -> None:
        with guard():
            waiting: Any = await self._link.commands.zrange(name, 0, -1)
            if waiting:
                await self._link.commands.zadd(name, dict.fromkeys(waiting, 0), xx=True)

    async def _fail(self, work: Work) -> Work | None:
        await self._outbox.record(work).fail(_WHY)
        return await self._outbox.mailbox.delete(work)
