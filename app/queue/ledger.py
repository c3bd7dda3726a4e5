"""The sent record and the state writes of one claimed event: both refuse who lost the claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from app.core.errors import Fenced
from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.core.redis import RedisLink, guard
from app.model.outbound import Begun, SendName
from app.queue.work import Work

_HERE = Path(__file__).parent
_SENT = Script(_HERE / "sent.lua")
_STATE = Script(_HERE / "state.lua")

# An event lives at most `max_age` (8 h) in Feishu's redelivery; its sent record outlives it by a day.
SENT_TTL: Final = (8 + 24) * 3600


class SentRecord:
    """Which sends of an event happened; implements the Ledger of `app.model.outbound`."""

    def __init__(self, pipe: Pipeliner, keys: Keys, work: Work) -> None:
        self._pipe = pipe
        self._keys = keys
        self._work = work

    async def begin(self, name: SendName) -> Begun:
        known = await self._run(name, "begin", "")
        if known[:1] == b"=":
            return Begun(message_id=known[1:].decode())
        if known[:1] == b"?":
            return Begun(since=int(known[1:]) / 1000)
        return Begun()

    async def record(self, name: SendName, message_id: str) -> None:
        await self._run(name, "record", message_id)

    async def forget(self, name: SendName) -> None:
        await self._run(name, "forget", "")

    async def _run(self, name: SendName, what: str, message_id: str) -> bytes:
        work = self._work
        reply = await self._pipe.run(
            _SENT,
            [self._keys.root(work.bot)],
            [work.conversation, work.claim, work.entry.event_id, what, name.field, message_id, SENT_TTL],
        )
        return _unless_lost(work, reply)


class Ledgers:
    """Makes the sent record of a claimed event, and writes its state."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)

    def of(self, work: Work) -> SentRecord:
        """The sent record of the event that `work` claims."""
        return SentRecord(self._pipe, self._keys, work)

    async def state_get(self, bot: str, scope: str) -> bytes | None:
        """The sealed value at a scope such as `chat:oc_1:count`, or None."""
        with guard():
            value: Any = await self._link.commands.get(self._keys.state(bot, scope))
        return None if value is None else bytes(value)

    async def state_set(self, work: Work, scope: str, sealed: bytes, ttl: float | None) -> None:
        """Write a sealed value; `ttl` in seconds, None keeps it. Raises Fenced."""
        await self._state(work, scope, "set", sealed, 0 if ttl is None else max(1, int(ttl * 1000)))

    async def state_delete(self, work: Work, scope: str) -> None:
        """Delete a value. Raises Fenced."""
        await self._state(work, scope, "delete", b"", 0)

    async def _state(self, work: Work, scope: str, what: str, sealed: bytes, ttl_ms: int) -> None:
        reply = await self._pipe.run(
            _STATE,
            [self._keys.root(work.bot)],
            [work.conversation, work.claim, self._keys.state(work.bot, scope), what, sealed, ttl_ms],
        )
        _unless_lost(work, reply)


def _unless_lost(work: Work, reply: bytes) -> bytes:
    if reply == b"lost":
        raise Fenced(f"conversation {work.conversation} of bot {work.bot} was taken over by another worker")
    return reply
