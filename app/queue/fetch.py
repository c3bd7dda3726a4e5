"""Waits for bots that have work, and takes it in the same round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from app.core.keys import Keys
from app.core.lua import Script
from app.core.outage import guard
from app.core.redis import COMMAND_TIMEOUT, RedisLink
from app.core.wire import Arg, exchange
from app.queue.damage import SPARE, beside_damage
from app.queue.mailbox import LEASE_MS, Mailbox, work_of
from app.queue.work import Work

_HERE = Path(__file__).parent
_FETCH = Script(SPARE, _HERE / "start.lua", _HERE / "fetch.lua")

# Conversations taken in one round trip, of one bot or of many: what is taken is not there for other workers.
_WORKS: Final = 64


@dataclass(frozen=True, slots=True)
class Room:
    """How many conversations and callbacks of one bot may be taken at once: the rule, and exceptions for some bots."""

    ready: int
    calls: int
    of: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Bots with other room: conversations, callbacks. Where both are 0 the token is handed out instead."""


class Fetched(NamedTuple):
    """What was waited for."""

    works: list[Work]
    tokens: list[str]
    """Bots that have ready conversations and no room here: their wake tokens are the caller's."""


class Fetch:
    """Raises StoreUnavailable without Redis; what was taken nevertheless is free again when its lease runs out."""

    def __init__(self, link: RedisLink, keys: Keys, mailbox: Mailbox) -> None:
        self._link = link
        self._keys = keys
        self._mailbox = mailbox

    async def next(self, owner: str, timeout: float, room: Room) -> Fetched:
        """Wait until some bot has ready conversations, at most `timeout` seconds; claim some, each one started."""
        if not isinstance(self._link.blocking, Redis):
            # On Cluster the tokens and the bots lie in different slots.
            bot = await self._mailbox.next_bot(timeout)
            return Fetched([], [] if bot is None else [bot])
        keys = self._keys
        args: list[Arg] = [owner, LEASE_MS, *keys.root("\n").split("\n"), _WORKS, room.ready, room.calls]
        for bot, (ready, calls) in room.of.items():
            args += (bot, ready, calls)
        # Redis runs what follows a blocked command as soon as that ends, before it syncs and answers: one sync is for
        # the event that was accepted, the token that it brought, and its start.
        wait: tuple[Arg, ...] = ("BLMOVE", keys.wake, keys.woken, "LEFT", "RIGHT", timeout)
        take: tuple[Arg, ...] = ("EVALSHA", _FETCH.sha, 2, keys.woken, keys.wake, *args)
        with guard():
            # Its client has no time-out; a primary that hangs while a failover goes on says nothing for ever.
            async with asyncio.timeout(timeout + COMMAND_TIMEOUT):
                waited, said = await exchange(self._link.blocking, wait, take)
            if isinstance(said, NoScriptError):
                said = await _FETCH(self._link.blocking, [keys.woken, keys.wake], args)
            if isinstance(said, Exception):
                raise said
        works: list[Work] = []
        tokens: list[str] = []
        for one in beside_damage(said):
            if isinstance(one, bytes):
                tokens.append(one.decode())
            else:
                bot = one[0].decode()
                works += (work for reply in one[1:] if (work := work_of(bot, owner, reply)) is not None)
        if isinstance(waited, Exception) and not works and not tokens:
            # A full Redis refuses to move a token, and still gives it away; what refuses that too says so.
            return Fetched([], await self._tokens(timeout))
        return Fetched(works, tokens)

    async def _tokens(self, timeout: float) -> list[str]:
        bot = await self._mailbox.next_bot(timeout)
        return [] if bot is None else [bot, *self._mailbox.unused()]
