"""The sent record and the state writes of one claimed event: both refuse who lost the claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.core.outage import guard
from app.core.redis import RedisLink
from app.core.wire import Arg
from app.model.outbound import Begun, Opened, SendName
from app.queue.work import Work, unless_lost

_HERE = Path(__file__).parent
_SENT = Script(_HERE / "sent.lua")
_STATE = Script(_HERE / "state.lua")

# An event lives at most `max_age` (8 h) in Feishu's redelivery; its sent record outlives it by a day.
SENT_TTL: Final = (8 + 24) * 3600


class SentRecord:
    """Which sends of an event happened; implements the CardLedger of `app.model.outbound`."""

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

    async def open(self, name: SendName) -> Opened:
        turn, _, known = (await self._run(name, "open", "")).partition(b" ")
        return Opened(int(turn), known[1:].decode() if known[:1] == b"=" else None)

    async def _run(self, name: SendName, what: str, message_id: str) -> bytes:
        work = self._work
        reply: bytes = await self._pipe.run(
            _SENT,
            [self._keys.root(work.bot)],
            [work.conversation, work.claim, work.entry.event_id, what, name.field, message_id, SENT_TTL],
        )
        return bytes(unless_lost(work, reply))


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
        await self._state(work, scope, "set", sealed, ttl)

    async def state_swap(
        self, work: Work, scope: str, seen: bytes | None, sealed: bytes, ttl: float | None, *, keep_ttl: bool
    ) -> tuple[bool, bytes | None]:
        """Write a sealed value if the one seen is still there: whether it was, and what is there if not. Raises Fenced.

        `keep_ttl` leaves a value that was there the time to live that it has.
        """
        reply = await self._state(work, scope, "swap", sealed, ttl, seen or b"", int(keep_ttl))
        return (True, sealed) if reply == b"" else (False, reply[0])

    async def state_delete(self, work: Work, scope: str) -> None:
        """Delete a value. Raises Fenced."""
        await self._state(work, scope, "delete", b"", None)

    async def state_ttl(self, bot: str, scope: str) -> float | None:
        """How long a value is still kept, in seconds; None for one kept for good, and for none."""
        with guard():
            left: Any = await self._link.commands.pttl(self._keys.state(bot, scope))
        return left / 1000 if left >= 0 else None

    async def _state(self, work: Work, scope: str, what: str, sealed: bytes, ttl: float | None, *seen: Arg) -> Any:
        ttl_ms = 0 if ttl is None else max(1, int(ttl * 1000))
        reply = await self._pipe.run(
            _STATE,
            [self._keys.root(work.bot)],
            [work.conversation, work.claim, self._keys.state(work.bot, scope), what, sealed, ttl_ms, *seen],
        )
        return unless_lost(work, reply)
