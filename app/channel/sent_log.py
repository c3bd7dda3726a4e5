"""Puts what was sent into the bot's log, so that the store keeps both sides of a conversation."""

from __future__ import annotations

from uuid import uuid4

import orjson

from app.channel.changes import Change
from app.core.clock import SYSTEM_CLOCK, Clock
from app.model.bot import BotSpec
from app.model.outbound import BY_PERSON, Outbound, SendName, Sent
from app.queue.envelope import Entry
from app.queue.log import EventLog
from app.storage.cipher import record_identity
from app.storage.keyring import Keyring


class SentLog:
    """Called by a Sender for all that Feishu took (its `on_sent` and `on_change`); raises StoreUnavailable."""

    def __init__(self, events: EventLog, keyring: Keyring, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._events = events
        self._keyring = keyring
        self._clock = clock

    async def __call__(self, spec: BotSpec, message: Outbound, sent: Sent, name: SendName) -> None:
        """Append it, sealed; the send's name makes a repeated one the same entry."""
        cipher = await self._keyring.cipher(spec.id)
        target = message.target
        plain = orjson.dumps(
            {
                "msg_type": message.msg_type,
                "content": message.content,
                "target": {"kind": target.kind, "id": target.id},
            }
        )
        entry = Entry(
            kind="sent",
            event_id=name.uuid,
            identity=name.event,
            type=message.msg_type,
            conversation="",
            chat_id=sent.chat_id or target.chat_id,
            user_id=target.id if target.kind in BY_PERSON else "",
            message_id=sent.message_id,
            received=self._clock.now(),
            replay=name.replay,
            sealed=cipher.seal(plain, record_identity(name.uuid)),
        )
        await self._events.append_sent(spec.id, entry)

    async def changed(self, spec: BotSpec, change: Change) -> None:
        """Append what a plain call did or said; done again, it is another entry."""
        cipher = await self._keyring.cipher(spec.id)
        # A repeated call that Feishu knew by its uuid has sent the same message, not another.
        name = f"said:{change.message_id}" if change.target and change.message_id else uuid4().hex
        document = {"msg_type": change.type, "content": change.body}
        plain = orjson.dumps(document | {"target": change.target} if change.target else document)
        entry = Entry(
            kind="sent",
            event_id=name,
            identity="",
            type=change.type,
            conversation="",
            chat_id=change.chat_id,
            user_id=change.user_id,
            message_id=change.message_id,
            received=self._clock.now(),
            replay=0,
            sealed=cipher.seal(plain, record_identity(name)),
        )
        await self._events.append_sent(spec.id, entry)
