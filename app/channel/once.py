"""Sends each message once: by a sent record and a uuid; plainly if the message it replies to was withdrawn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Unpack

from app.channel.call import Call, Course, Patience, segment
from app.channel.exchange import BUSY_TRIES, Exchange
from app.channel.facts import BotFacts
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import (
    FeishuRefused,
    FeishuUnavailable,
    Fenced,
    HubError,
    OutcomeUnknown,
    StoreUnavailable,
    TargetGone,
)
from app.core.failpoint import failpoint
from app.core.logs import get_logger
from app.feishu.codes import ALREADY_DONE, BEING_SENT, REPLY_TARGET_GONE
from app.model.bot import BotSpec
from app.model.outbound import Begun, Ledger, Outbound, SendName, Sent, Target

# Feishu remembers a uuid for one hour (Feishu docs: im-v1 message create), less five minutes for clocks that differ and
# requests on their way.
_UUID_MEMORY: Final = 3600.0 - 300.0

OnSent = Callable[[BotSpec, Outbound, Sent, SendName], Awaitable[None]]

log = get_logger(__name__)


class SendOnce:
    """Sends messages under names: a name used twice is sent once."""

    def __init__(
        self, exchange: Exchange, facts: BotFacts, *, clock: Clock = SYSTEM_CLOCK, on_sent: OnSent | None = None
    ) -> None:
        """`on_sent` is called for every message that Feishu took."""
        self._exchange = exchange
        self._facts = facts
        self._clock = clock
        self._on_sent = on_sent

    async def send(
        self,
        spec: BotSpec,
        message: Outbound,
        name: SendName,
        ledger: Ledger | None,
        *,
        tell: bool = True,
        **patience: Unpack[Patience],
    ) -> Sent:
        """Send unless it was sent before under this name.

        With `tell=False` the caller calls `tell` once the message says what it will in the end. Raises FeishuError,
        SlotTimeout, Fenced, StoreUnavailable, or OutcomeUnknown if it may have been sent and can no longer be repeated.
        """
        begun = Begun() if ledger is None else await ledger.begin(name)
        if begun.message_id is not None:
            return Sent(begun.message_id, message.target.chat_id, repeated=True)
        now = self._clock.now()
        course = Course(unknown=begun.since is not None, repeat_until=(begun.since or now) + _UUID_MEMORY)
        if course.unknown and now > (course.repeat_until or now):
            raise OutcomeUnknown(
                f"a message of bot {spec.id} was begun {now - (begun.since or now):.0f} s ago and its outcome is not "
                "known; Feishu forgets its uuid after an hour: look in the chat whether it is there"
            )
        failpoint("before_send")
        try:
            sent, message = await self._deliver(spec, message, name, patience, course)
        except (Fenced, OutcomeUnknown):
            raise
        except HubError:
            if ledger is not None and not course.unknown:
                await self._forget(spec, name, ledger)
            raise
        try:
            if ledger is not None:
                failpoint("before_record")
                await ledger.record(name, sent.message_id)
                failpoint("after_record")
        except StoreUnavailable as error:
            # It was sent; the record is only missed once Feishu has forgotten the uuid.
            log.warning("send could not be recorded", bot=spec.id, api=name.api, reason=str(error))
        finally:
            if tell:
                await self.tell(spec, message, sent, name)
        if sent.chat_id and message.target.kind not in ("chat_id", "reply"):
            await self._facts.learn_private_chat(spec, message.target.id, sent.chat_id)
        return sent

    async def tell(self, spec: BotSpec, message: Outbound, sent: Sent, name: SendName) -> None:
        """Tell `on_sent` of a message that Feishu took."""
        if self._on_sent is None:
            return
        try:
            await self._on_sent(spec, message, sent, name)
        except HubError as error:
            log.warning("sent message could not be archived", bot=spec.id, api=name.api, reason=str(error))

    async def _deliver(
        self,
        spec: BotSpec,
        message: Outbound,
        name: SendName,
        patience: Patience,
        course: Course,
    ) -> tuple[Sent, Outbound]:
        """Send; if the message replied to was withdrawn, send to its chat instead, once."""
        try:
            return await self._post(spec, message, name, patience, course), message
        except TargetGone as error:
            target = message.target
            if target.kind != "reply" or error.code not in REPLY_TARGET_GONE or not target.chat_id:
                raise
            log.info("reply goes to the chat, its message was withdrawn", bot=spec.id, code=error.code)
            # The same name, thus the same uuid: if the reply did arrive, this does not send it again.
            message = replace(message, target=Target("chat_id", target.chat_id, target.chat_id))
            return await self._post(spec, message, name, patience, course), message

    async def _post(
        self,
        spec: BotSpec,
        message: Outbound,
        name: SendName,
        patience: Patience,
        course: Course,
    ) -> Sent:
        target = message.target
        call = await self._call(spec, message, name)
        try:
            answer = await self._exchange.run(spec, call, course=course, **patience)
        except FeishuUnavailable as error:
            if error.code not in BEING_SENT or course.busy < BUSY_TRIES:
                raise
            # All tries were answered "is being sent": Feishu has it, and does not say under which id.
            return Sent("", target.chat_id, repeated=True)
        except FeishuRefused as error:
            if error.code not in ALREADY_DONE:
                raise
            return Sent("", target.chat_id, repeated=True)
        failpoint("after_send")
        chat = str(answer.data.get("chat_id") or target.chat_id)
        return Sent(str(answer.data.get("message_id") or ""), chat)

    async def _call(self, spec: BotSpec, message: Outbound, name: SendName) -> Call:
        target = message.target
        body: dict[str, Any] = {"msg_type": message.msg_type, "content": message.content, "uuid": name.uuid}
        if target.kind == "reply":
            if target.in_thread:
                body["reply_in_thread"] = True
            path = f"/open-apis/im/v1/messages/{segment(target.id)}/reply"
            return Call("im.message.reply", "POST", path, json=body, chat=target.chat_id)
        chat = target.id if target.kind == "chat_id" else target.chat_id
        chat = chat or await self._facts.private_chat(spec, target.id)
        return Call(
            "im.message.create",
            "POST",
            "/open-apis/im/v1/messages",
            query=(("receive_id_type", target.kind),),
            json={"receive_id": target.id, **body},
            chat=chat,
            user="" if chat else target.id,
            priority="send",
        )

    async def _forget(self, spec: BotSpec, name: SendName, ledger: Ledger) -> None:
        try:
            await ledger.forget(name)
        except StoreUnavailable as error:
            # The next attempt takes the outcome for unknown, which is safe for an hour.
            log.warning("failed send could not be noted", bot=spec.id, api=name.api, reason=str(error))
