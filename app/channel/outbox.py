"""The outbox: messages to be sent later are sealed and put where the channel nodes find and open them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from cachetools import LRUCache

from app.channel.limits import Priority
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import FeishuRefused
from app.model.outbound import MessageType, Outbound, Target
from app.queue.envelope import CALL_PREFIX, Entry, batch_aad, fingerprint_aad, message_aad
from app.queue.outbox import OutboxQueue
from app.queue.outgoing import BatchState, Kept, Outgoing
from app.queue.work import Work
from app.storage.cipher import Seal

# Batches whose content a node keeps opened while it works on them: each message needs it.
_OPENED: Final = 64

# Messages put in one step; Redis and this node's loop do nothing else meanwhile.
_AT_ONCE: Final = 200

Put = Literal["queued", "known", "other", "full"]
"""What became of a message: `known` is there already, `other` means that its id has another content there."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as a channel node sends it."""

    message: Outbound
    priority: Priority


def new_id() -> str:
    """A unique id for a message or a batch."""
    return f"m{secrets.token_hex(16)}"


def id_of(*name: str) -> str:
    """The id for a name: the same each time."""
    return f"m{hashlib.sha256(chr(10).join(name).encode()).hexdigest()[:32]}"


class Outbox:
    """Puts messages on the outbox of a bot, and opens what was put; raises StoreUnavailable without Redis."""

    def __init__(
        self, queue: OutboxQueue, seal: Seal, *, max_waiting: int = 100_000, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """`max_waiting` messages of one bot may wait."""
        self.queue = queue
        self._seal = seal
        self._max_waiting = max_waiting
        self._clock = clock
        self._opened: LRUCache[tuple[str, str], list[tuple[MessageType, str]]] = LRUCache(_OPENED)

    async def put(
        self, bot: str, message_id: str, message: Outbound, *, due: float = 0.0, fingerprint: bytes = b""
    ) -> Put:
        """Have a message sent, at `due` (seconds since the epoch) or now; once, however often it is put.

        Without a `fingerprint` whatever is there already is taken for the same message.
        """
        content = {"type": message.msg_type, "content": message.content}
        entry = await self._entry(bot, message_id, message.target, message.msg_type, content, CALL_PREFIX)
        seal = await self._sealed_print(bot, message_id, fingerprint)
        [kept] = await self.queue.put(bot, [Outgoing(entry, due, seal)], self._max_waiting)
        return await self._outcome(bot, message_id, fingerprint, kept)

    async def put_many(
        self,
        bot: str,
        batch: str,
        targets: Sequence[Target],
        pages: Sequence[tuple[MessageType, str]],
        *,
        due: float = 0.0,
        fingerprint: bytes = b"",
        priority: Literal["send", "broadcast"] = "broadcast",
    ) -> Put:
        """Have a content of one or several messages sent to many receivers, or one of several messages to one.

        Message n of the batch has the id `batch-n`, from 1, those of one receiver in a row. If the outbox fills up
        half-way, a repeated call puts what found no room.
        """
        (msg_type, content), *more = pages
        shared = orjson.dumps({"type": msg_type, "content": content, **({"more": more} if more else {})})
        sealed = await self._seal.seal(bot, shared, batch_aad(batch))
        seal = await self._sealed_print(bot, batch, fingerprint)
        kept = await self.queue.open_batch(bot, batch, seal, len(targets) * len(pages), sealed, due=due)
        opened = await self._outcome(bot, batch, fingerprint, kept)
        if opened == "other":
            return opened
        full = False
        ahead = CALL_PREFIX if priority == "send" else ""
        each = ((target, page) for target in targets for page in range(len(pages)))
        numbered = list(enumerate(each, 1))
        # Piece by piece: the loop's other work, such as events that Feishu waits with, comes in between.
        for start in range(0, len(numbered), _AT_ONCE):
            messages = [
                Outgoing(
                    await self._entry(
                        bot, f"{batch}-{n}", target, pages[page][0], {"batch": batch, "page": page}, ahead
                    ),
                    due,
                    batch=batch,
                )
                for n, (target, page) in numbered[start : start + _AT_ONCE]
            ]
            results = await self.queue.put(bot, messages, self._max_waiting)
            full = full or any(kept.how == "full" for kept in results)
        return "full" if full else opened

    async def is_known(self, bot: str, id: str, fingerprint: bytes) -> Literal["known", "other", "new"]:
        """Whether something was put under that id, and whether it was the same."""
        found = await self.queue.fingerprint(bot, id)
        if found is None:
            return "new"
        return "known" if await self._same(bot, id, fingerprint, found) else "other"

    async def is_whole(self, bot: str, batch: BatchState) -> bool:
        """Whether all messages of a batch were put: a request that broke off half-way can be repeated."""
        numbers = range(1, batch.total + 1)
        return await self.queue.known(bot, [f"{batch.id}-{n}" for n in numbers]) == batch.total

    async def open(self, work: Work) -> Letter:
        """The message that a channel node has taken; raises SealBroken, or FeishuRefused if its content is gone."""
        bot, entry = work.bot, work.entry
        plain = orjson.loads(await self._seal.open(bot, entry.sealed, message_aad(entry.event_id)))
        kind, receiver, chat = plain["to"]
        if "batch" in plain:
            msg_type, content = (await self._shared(bot, plain["batch"]))[plain.get("page", 0)]
        else:
            msg_type, content = plain["type"], plain["content"]
        priority: Priority = "send" if work.conversation.startswith(CALL_PREFIX) else "broadcast"
        return Letter(Outbound(Target(kind, receiver, chat), msg_type, content), priority)

    async def _shared(self, bot: str, batch: str) -> list[tuple[MessageType, str]]:
        opened = self._opened.get((bot, batch))
        if opened is None:
            sealed = await self.queue.batch_content(bot, batch)
            if sealed is None:
                raise FeishuRefused(f"what the messages of batch {batch} share is gone: send them anew")
            plain = orjson.loads(await self._seal.open(bot, sealed, batch_aad(batch)))
            first = (plain["type"], plain["content"])
            opened = self._opened[bot, batch] = [first, *map(tuple, plain.get("more", ()))]
        return opened

    async def _outcome(self, bot: str, id: str, fingerprint: bytes, kept: Kept) -> Put:
        if kept.how == "known" and not await self._same(bot, id, fingerprint, kept.fingerprint):
            return "other"
        return kept.how

    async def _same(self, bot: str, id: str, fingerprint: bytes, found: bytes) -> bool:
        return not fingerprint or fingerprint == await self._seal.open(bot, found, fingerprint_aad(id))

    async def _sealed_print(self, bot: str, id: str, fingerprint: bytes) -> bytes:
        return await self._seal.seal(bot, fingerprint, fingerprint_aad(id))

    async def _entry(
        self, bot: str, message_id: str, target: Target, msg_type: MessageType, content: dict[str, Any], ahead: str
    ) -> Entry:
        plain = orjson.dumps({"to": (target.kind, target.id, target.chat_id), **content})
        return Entry(
            kind="out",
            event_id=message_id,
            identity=message_id,
            type=msg_type,
            # What is sent to many must not hold up the rest: it has a conversation of its own, taken after the others.
            conversation=f"{ahead}{target.kind}:{target.id}",
            chat_id=target.chat_id,
            user_id="" if target.kind == "chat_id" else target.id,
            message_id="",
            received=self._clock.now(),
            replay=0,
            sealed=await self._seal.seal(bot, plain, message_aad(message_id)),
        )
