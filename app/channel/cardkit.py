"""CardKit: card entities, whose text is changed apart from the message that shows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Unpack

import orjson
from cachetools import TTLCache

from app.channel.call import Call, Course, Patience, segment
from app.channel.exchange import Exchange
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import FeishuRefused, Fenced
from app.core.logs import get_logger
from app.feishu.codes import ALREADY_DONE, CARD_BUSY, CARD_OUTDONE, TYPING_OFF
from app.model.bot import BotSpec
from app.model.outbound import SendName
from app.sdk.card import Card

CREATE_CARD: Final = "cardkit.card.create"
TYPE: Final = "cardkit.card_element.content"
SETTINGS: Final = "cardkit.card.settings"
_CARDS: Final = "/open-apis/cardkit/v1/cards"
_ELEMENT: Final = "answer"

# Feishu docs: streaming updates: 10 operations a second a card. All of a card's come from one task, one after another.
_EVERY: Final = 0.12
# An app's 1000 calls a minute are 16 a second, over all its typing cards.
_ALL_PER_SECOND: Final = 12.0
# Operations one attempt may do before its numbers reach the next attempt's; int32 has room for 2,000 attempts.
_OPERATIONS: Final = 1_000_000
# While somebody presses a button of the card, Feishu takes no changes of it.
_BUSY_TRIES: Final = 6
_BUSY_WAIT: Final = 0.5
# An app without CardKit (missing scope, old server) may be given it: asked again after this long.
_ASK_AGAIN: Final = 600.0
_SUMMARY: Final = 60

log = get_logger(__name__)


def answer_card(title: str, text: str, *, typing: bool = False) -> str:
    """The JSON of a card that shows a markdown text; `typing` has clients show it letter by letter."""
    card = Card.of(title).element({"tag": "markdown", "content": text, "element_id": _ELEMENT}).to_dict()
    if typing:
        card["config"] = {**card["config"], "streaming_mode": True}
    return orjson.dumps(card).decode()


@dataclass(slots=True)
class CardKit:
    """Makes card entities, and knows which apps cannot."""

    exchange: Exchange = field(repr=False)
    clock: Clock = SYSTEM_CLOCK
    typing: Counter[str] = field(default_factory=Counter)
    """How many cards each app is typing into now."""
    _without: TTLCache[tuple[str, str], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._without = TTLCache(1000, _ASK_AGAIN, timer=self.clock.monotonic)

    async def create(self, spec: BotSpec, title: str, text: str, **patience: Unpack[Patience]) -> str:
        """A new card entity's id; empty if the app has no CardKit. Nobody sees one that is never sent."""
        app = (spec.credentials.base_url, spec.credentials.app_id)
        if app in self._without:
            return ""
        body = {"type": "card_json", "data": answer_card(title, text, typing=True)}
        try:
            answer = await self.exchange.run(spec, Call(CREATE_CARD, "POST", _CARDS, json=body), **patience)
        except FeishuRefused as error:
            log.warning("app has no cards that type, they are sent as plain ones", bot=spec.id, code=error.code)
            self._without[app] = error.code
            return ""
        return str(answer.data.get("card_id") or "")


class Entity:
    """One card entity in the hands of one attempt.

    Operation numbers begin with the attempt's own: Feishu takes only rising ones, so an attempt that lost the event can
    no longer type once the next has begun.
    """

    def __init__(self, kit: CardKit, spec: BotSpec, card_id: str, name: SendName, turn: int) -> None:
        self._kit = kit
        self._spec = spec
        self._card_id = card_id
        self._path = f"{_CARDS}/{segment(card_id)}"
        self._uuid = name.uuid
        self._sequence = turn * _OPERATIONS
        self._next = 0.0

    async def show(self, text: str, **patience: Unpack[Patience]) -> None:
        """Show this text, all of it; raises Fenced if a later attempt has the card."""
        try:
            await self._content(text, **patience)
        except FeishuRefused as error:
            if error.code not in TYPING_OFF:
                raise
            # Feishu ends the typing by itself after ten minutes, and an earlier attempt may have ended it.
            await self._settings({"streaming_mode": True}, **patience)
            await self._content(text, **patience)

    async def close(self, text: str, **patience: Unpack[Patience]) -> None:
        """Show all of the text, and end the typing; chat lists then show its beginning."""
        await self.show(text, **patience)
        summary = " ".join(text[: 4 * _SUMMARY].split())[:_SUMMARY]
        await self._settings({"streaming_mode": False, "summary": {"content": summary}}, **patience)

    async def _content(self, text: str, **patience: Unpack[Patience]) -> None:
        await self._do(TYPE, "PUT", f"/elements/{_ELEMENT}/content", {"content": text}, **patience)

    async def _settings(self, config: dict[str, Any], **patience: Unpack[Patience]) -> None:
        settings = orjson.dumps({"config": config}).decode()
        await self._do(SETTINGS, "PATCH", "/settings", {"settings": settings}, **patience)

    async def _do(self, api: str, method: str, path: str, body: dict[str, Any], **patience: Unpack[Patience]) -> None:
        busy = 0
        while True:
            await self._pace()
            self._sequence += 1
            numbered = {**body, "sequence": self._sequence, "uuid": f"{self._uuid}-{self._sequence}"}
            course = Course()
            try:
                call = Call(api, method, self._path + path, json=numbered, card=self._card_id)
                await self._kit.exchange.run(self._spec, call, course=course, **patience)
                return
            except FeishuRefused as error:
                if error.code in ALREADY_DONE or (error.code == CARD_OUTDONE and course.unknown):
                    return
                if error.code == CARD_OUTDONE:
                    raise Fenced(f"another attempt types into the card of bot {self._spec.id}") from error
                busy += 1
                if error.code != CARD_BUSY or busy == _BUSY_TRIES:
                    raise
                await self._kit.clock.sleep(_BUSY_WAIT)

    async def _pace(self) -> None:
        clock = self._kit.clock
        if (wait := self._next - clock.monotonic()) > 0:
            await clock.sleep(wait)
        cards = self._kit.typing[self._spec.credentials.app_id]
        self._next = clock.monotonic() + max(_EVERY, cards / _ALL_PER_SECOND)
