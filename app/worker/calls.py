"""Answers callbacks: in the HTTP response while Feishu waits, or else late, each kind in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.channel.changes import UPDATED_BY_TOKEN, Change
from app.channel.render import render
from app.channel.sender import Sender
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import FeishuRefused, HubError, StoreUnavailable
from app.core.logs import get_logger
from app.model.bot import BotSpec
from app.model.event import Event
from app.model.outbound import Outbound, SendName, Target
from app.queue.calls import Calls
from app.queue.envelope import result_aad
from app.queue.ledger import Ledgers
from app.queue.work import Work
from app.storage.cipher import Cipher

START_WITHIN: Final = 30.0
"""Seconds after which a callback that was not started is given up: whoever pressed the button has gone."""
# Feishu reverts an update that comes before or together with the HTTP answer (Feishu docs: Delayed update).
_AFTER_ANSWER: Final = 0.3
# So that the answer still arrives after an outage of Redis of about this many tries, and its handler runs once.
_TRIES: Final = 20
_BETWEEN_TRIES: Final = 0.5
_LEGACY: Final = "card.action.trigger_v1"
_PREVIEW: Final = "url.preview.get"

FAILED: Final = orjson.dumps(
    {
        "toast": {
            "type": "error",
            "content": "处理失败，请稍后再试",
            "i18n": {"zh_cn": "处理失败，请稍后再试", "en_us": "This failed, please try again later"},
        }
    }
)

log = get_logger(__name__)


class Answers:
    """Hands over the answer to a callback, or brings it late."""

    def __init__(self, calls: Calls, sender: Sender, ledgers: Ledgers, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._calls = calls
        self._sender = sender
        self._ledgers = ledgers
        self._clock = clock

    async def expired(self, work: Work) -> bool:
        """Whether it is too late to start; never for an operator's replay. Raises StoreUnavailable."""
        if work.entry.replay or work.starts > 1 or self._clock.now() - work.entry.received <= START_WITHIN:
            return False
        # The gateway's clock and this one may differ.
        return await self._calls.age(work.bot, work.log_id) > START_WITHIN

    async def give(self, spec: BotSpec, cipher: Cipher, work: Work, event: Event, answer: bytes | None) -> None:
        """Deliver the handler's answer (None changes nothing); raises StoreUnavailable."""
        entry = work.entry
        document = _for_legacy(answer) if answer and event.type == _LEGACY else answer or b"{}"
        sealed = cipher.seal(document, result_aad(entry.event_id))
        late = await self._patiently_late(work, sealed)
        if answer is None:
            return
        if not late:
            await self._tell(spec, event, orjson.loads(answer))
            return
        await self._clock.sleep(_AFTER_ANSWER)
        try:
            await self._bring_late(spec, work, event, orjson.loads(answer))
        except HubError as error:
            log.warning("late answer not delivered", bot=work.bot, event_id=entry.event_id, error=type(error).__name__)

    async def _patiently_late(self, work: Work, sealed: bytes) -> bool:
        """`_is_late`, repeated through an outage: otherwise the handler would run a second time."""
        for _ in range(_TRIES - 1):
            try:
                return await self._is_late(work, sealed)
            except StoreUnavailable:
                await self._clock.sleep(_BETWEEN_TRIES)
        return await self._is_late(work, sealed)

    async def _is_late(self, work: Work, sealed: bytes) -> bool:
        """Hand the result to the waiting gateway; True if none waits."""
        entry = work.entry
        if entry.replay:
            return True  # the HTTP request is long over, and the first answer does not answer this one
        return await self._calls.answer(work.bot, entry.event_id, work.log_id, sealed) == "late"

    async def _bring_late(self, spec: BotSpec, work: Work, event: Event, answer: dict[str, Any]) -> None:
        log.info("callback answered late", bot=spec.id, event_id=event.id, type=event.type)
        if event.type == _PREVIEW:
            token = _part(event.body, "context").get("preview_token")
            if isinstance(token, str) and token:
                await self._sender.update_previews(spec, [token])
            return
        card, toast = answer.get("card"), answer.get("toast")
        token = event.body.get("token")
        if isinstance(card, dict) and isinstance(token, str) and token:
            await self._sender.update_card(spec, token, _document(card), event.message_id)
        if isinstance(toast, dict):
            await self._tell_actor(spec, work, event, str(toast.get("content", "")))

    async def _tell(self, spec: BotSpec, event: Event, answer: dict[str, Any]) -> None:
        """Store the card that a click was answered with, as if it had come late."""
        card = answer.get("card")
        if isinstance(card, dict) and event.type != _PREVIEW:
            body = {"card": _document(card)}
            await self._sender.tell(spec, Change(UPDATED_BY_TOKEN, event.message_id, body, event.chat_id))

    async def _tell_actor(self, spec: BotSpec, work: Work, event: Event, text: str) -> None:
        """A toast cannot come late: send its words as a card that only the actor sees, if the chat can have one."""
        if not (event.chat_id and event.user_id and text):
            return
        card = {
            "config": {"wide_screen_mode": True},
            "elements": [{"tag": "div", "text": {"tag": "plain_text", "content": text}}],
        }
        try:
            await self._sender.ephemeral(spec, event.chat_id, event.user_id, card)
        except FeishuRefused:
            # Private chats cannot have ephemeral cards (Feishu docs: ephemeral cards, images, files), and need none.
            name = SendName(spec.id, event.id, work.entry.replay, "im.message.create", event.user_id, 0)
            message = Outbound(Target("open_id", event.user_id), *render(text))
            await self._sender.send(spec, message, name, self._ledgers.of(work))


def _document(card: dict[str, Any]) -> dict[str, Any]:
    """The card of an answer in the form of an update: raw cards bare, templates with their type."""
    data = card.get("data")
    return data if card.get("type") == "raw" and isinstance(data, dict) else card


def _for_legacy(answer: bytes) -> bytes:
    """A legacy card's answer has the card at the top, beside an optional toast (Feishu docs: legacy card callback)."""
    document = orjson.loads(answer)
    card = document.pop("card", None)
    return orjson.dumps({**document, **_document(card)}) if isinstance(card, dict) else answer


def _part(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = body.get(key)
    return part if isinstance(part, Mapping) else {}
