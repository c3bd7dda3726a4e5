"""The outbox in Redis: messages put there, their states, their sent record; the mailbox moves them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import Fenced, HubError
from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.core.outage import guard
from app.core.pubsub import watch
from app.core.redis import RedisLink
from app.core.wire import Arg
from app.model.outbound import Begun, SendName
from app.queue.mailbox import Mailbox
from app.queue.outgoing import BatchState, Kept, MessageState, Outgoing
from app.queue.work import Work

_HERE = Path(__file__).parent
_ENQUEUE = Script(_HERE / "enqueue.lua")
_MESSAGE = Script(_HERE / "message.lua")
_BATCH = Script(_HERE / "batch.lua")

KEPT: Final = 7 * 24 * 3600
"""Seconds for which a message's end can be read, and its id or Idempotency-Key is remembered."""
_BATCH_KEPT: Final = 90 * 24 * 3600
"""Seconds for which what many messages share waits for them after their time; it goes with the last of them."""
_PAGE: Final = 1000
_FIELDS: Final = ("state", "created", "changed", "due", "message_id", "reason", "batch")


class Settled(HubError):
    """The message was cancelled, or has failed: it must not be sent any more."""


class OutboxQueue:
    """The messages of all bots that are to be sent; every call raises StoreUnavailable without Redis."""

    def __init__(self, link: RedisLink, keys: Keys, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = link
        self._keys = keys
        self._clock = clock
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)
        self._box = keys.outbox()
        self.mailbox = Mailbox(link, self._box)
        """Moves the messages, as the inbox' mailbox moves events."""

    # -- putting ---------------------------------------------------------------------------------------------

    async def put(self, bot: str, messages: Sequence[Outgoing], max_waiting: int) -> list[Kept]:
        """Keep messages safe in one step, each once for its id; a result for each, in order."""
        args: list[Arg] = ["" if self._link.cluster else self._box.wake, bot, max_waiting]
        for message in messages:
            entry = message.entry
            args += (
                entry.event_id,
                entry.conversation,
                int(message.due * 1000),
                message.fingerprint,
                message.batch,
                entry.packed(),
                entry.sealed,
            )
        replies = await self._pipe.run(_ENQUEUE, [self._keys.root(bot)], args)
        if any(reply[:1] == b"!" for reply in replies):
            await self.mailbox.give_back(bot)
        return [_kept(reply) for reply in replies]

    async def open_batch(
        self, bot: str, batch: str, fingerprint: bytes, total: int, sealed: bytes, *, due: float = 0.0
    ) -> Kept:
        """Keep what the messages of a batch share, before they are put; `due` is theirs."""
        wait = max(0, int(due - self._clock.now()))
        args: list[Arg] = [fingerprint, total, sealed, wait + _BATCH_KEPT]
        known = await self._pipe.run(_BATCH, [self._keys.batch(bot, batch)], args)
        return _kept(known or b"+")

    async def fingerprint(self, bot: str, id: str) -> bytes | None:
        """The fingerprint with which a message or batch of that id was put; None where there is none."""
        for key in (self._keys.batch(bot, id), self._keys.msg(bot, id)):
            with guard():
                found: Any = await self._link.commands.hget(key, "fingerprint")
            if found is not None:
                return bytes(found)
        return None

    # -- asking ----------------------------------------------------------------------------------------------

    async def state(self, bot: str, message: str) -> MessageState | None:
        """What became of a message; None where none of that id is known (any more)."""
        with guard():
            found: Any = await self._link.commands.hmget(self._keys.msg(bot, message), _FIELDS)
        return _message(message, found)

    async def states(self, bot: str, messages: Sequence[str]) -> list[MessageState | None]:
        """The same of several, in one round trip."""
        with guard():
            async with self._link.commands.pipeline(transaction=False) as pipe:
                for message in messages:
                    pipe.hmget(self._keys.msg(bot, message), _FIELDS)
                found: Any = await pipe.execute()
        return [_message(message, fields) for message, fields in zip(messages, found, strict=True)]

    async def known(self, bot: str, messages: Sequence[str]) -> int:
        """How many of these messages are known."""
        count = 0
        for start in range(0, len(messages), _PAGE):
            names = [self._keys.msg(bot, message) for message in messages[start : start + _PAGE]]
            with guard():
                count += int(await self._link.commands.exists(*names))
        return count

    async def batch(self, bot: str, batch: str) -> BatchState | None:
        """How far a batch is."""
        names = ("total", "created", "sent", "failed", "cancelled")
        with guard():
            found: Any = await self._link.commands.hmget(self._keys.batch(bot, batch), names)
        total, created, sent, failed, cancelled = found
        if total is None:
            return None
        done, lost, dropped = (int(count or 0) for count in (sent, failed, cancelled))
        return BatchState(batch, int(total), int(created) / 1000, done, lost, dropped)

    async def batch_content(self, bot: str, batch: str) -> bytes | None:
        """What the messages of a batch share, sealed."""
        with guard():
            found: Any = await self._link.commands.hget(self._keys.batch(bot, batch), "sealed")
        return None if found is None else bytes(found)

    def watch(self, bot: str, message: str) -> AsyncGenerator[MessageState, None]:
        """A message's state and each change of it until its end; goes on through an outage of Redis."""
        name = self._keys.msg(bot, message)
        return watch(self._link, name, lambda: self.state(bot, message), lambda found: found.is_final)

    def watch_batch(self, bot: str, batch: str) -> AsyncGenerator[BatchState, None]:
        """The same of a batch."""
        name = self._keys.batch(bot, batch)
        return watch(self._link, name, lambda: self.batch(bot, batch), lambda found: found.is_final)

    async def depth(self, bot: str) -> int:
        """How many messages could be sent and wait; those whose time has not come do not count."""
        with guard():
            later = await self._link.commands.zcard(self._box.bot(bot, "later"))
        return max(0, await self.mailbox.depth(bot) - later)

    # -- changing --------------------------------------------------------------------------------------------

    async def cancel(self, bot: str, message: str) -> str:
        """Have a message not sent, if it is queued; the state in which it is now, or ""."""
        reply = await self._pipe.run(_MESSAGE, [self._keys.root(bot)], ["cancelled", message, "", "", KEPT])
        return str(reply.decode())

    def record(self, work: Work) -> MessageRecord:
        """The sent record of the message that `work` claims."""
        return MessageRecord(self._pipe, self._keys, work)


class MessageRecord:
    """A message's state as its sent record; implements the Ledger of `app.model.outbound`."""

    def __init__(self, pipe: Pipeliner, keys: Keys, work: Work) -> None:
        self._pipe = pipe
        self._keys = keys
        self._work = work
        self.recorded = False
        """Whether it is known to be sent, here and in Redis."""

    async def begin(self, name: SendName) -> Begun:
        """Raises Settled where it must not be sent any more."""
        reply = await self._step("begin")
        match reply[:1]:
            case "=":
                self.recorded = True
                return Begun(message_id=reply[1:])
            case "?":
                return Begun(since=int(reply[1:]) / 1000)
            case "!":
                raise Settled(f"message {self._work.entry.event_id} of bot {self._work.bot} was cancelled, or failed")
        return Begun()

    async def record(self, name: SendName, message_id: str) -> None:
        await self._step("sent", message_id)
        self.recorded = True

    async def forget(self, name: SendName) -> None:
        await self._step("again")

    async def wait(self, reason: str) -> None:
        """Note for what it waits; `reason` must hold no message text."""
        await self._step("waits", reason)

    async def fail(self, reason: str) -> None:
        """Note that it will not happen; `reason` must hold no message text."""
        await self._step("failed", reason)

    async def _step(self, step: str, more: str = "") -> str:
        work = self._work
        args: list[Arg] = [step, work.entry.event_id, work.conversation, work.claim, KEPT, more]
        reply = await self._pipe.run(_MESSAGE, [self._keys.root(work.bot)], args)
        if reply == b"lost":
            raise Fenced(f"message {work.entry.event_id} of bot {work.bot} was taken over by another node")
        return str(reply.decode())


def _kept(reply: bytes) -> Kept:
    match reply[:1]:
        case b"=":
            return Kept("known", reply[1:])
        case b"-":
            return Kept("full")
    return Kept("queued")


def _message(message: str, found: Sequence[bytes | None]) -> MessageState | None:
    state, created, changed, due, *texts = (value.decode() if value is not None else "" for value in found)
    if not created:
        return None
    known: Any = state
    return MessageState(message, known, int(created) / 1000, int(changed) / 1000, int(due) / 1000, *texts)
