"""Keeps the reminders of `ctx.later`: events of the bot's own that come when they are due."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.feishu.parse import conversation_of
from app.model.bot import BotSpec
from app.model.event import Event
from app.model.schedule import TIME_ZONE
from app.queue.envelope import Entry
from app.queue.timetable import Timetable
from app.queue.work import Work
from app.sdk.content import Content
from app.sdk.cron_tick import cron_document, cron_event
from app.sdk.kept_content import kept
from app.storage.cipher import Cipher, record_identity


class Reminders:
    """Makes the events, and keeps them sealed until they are due."""

    def __init__(self, timetable: Timetable, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._timetable = timetable
        self._clock = clock

    async def keep(
        self,
        spec: BotSpec,
        cipher: Cipher,
        work: Work,
        source: Event,
        number: int,
        delay: float,
        *,
        handler: str,
        data: Any,
        content: Content | None,
    ) -> str:
        """Keep the `number`-th reminder of the event `source`, once, however often that is handled; its id.

        It comes in the event's conversation, in order with what people write. Raises Fenced.
        """
        name = f"{work.entry.identity}\n{work.entry.replay}\n{number}".encode()
        reminder = hashlib.blake2b(name, digest_size=12).hexdigest()
        event = cron_event(
            spec.id,
            spec.credentials.app_id,
            handler,
            self._clock.now() + delay,
            tz=TIME_ZONE,
            id=f"later:{spec.id}:{reminder}",
            chat_id=source.chat_id,
            user_id=source.user_id,
            more={"data": data} if content is None else {"say": kept(content)},
        )
        entry = Entry(
            kind="event",
            event_id=event.id,
            identity=event.id,
            type=event.type,
            conversation=conversation_of(event, spec.config.conversation),
            chat_id=event.chat_id,
            user_id=event.user_id,
            message_id="",
            received=event.created or 0.0,
            replay=0,
            sealed=cipher.seal(orjson.dumps(cron_document(event)), record_identity(event.id)),
        )
        await self._timetable.remind(work, entry, reminder, delay)
        return reminder
