"""CardKit: card entities that live apart from their message and are changed in strict sequence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.control.playground.ask import Ask, text_field, whole_field
from app.control.playground.cards import CALLBACK_OPEN, MOST_ELEMENTS, card_fault, walk
from app.control.playground.limits import PER_CARD
from app.control.playground.wire import Refusal
from app.control.playground.world import App, Message, World

BAD_PARAMETER: Final = 300301
UPDATE_MULTI: Final = 300302
SCHEMA: Final = 300303
TOO_MANY_ELEMENTS: Final = 300305
STREAMING_OFF: Final = 300309
FOREIGN: Final = 300311
NO_ELEMENT: Final = 300313
SEQUENCE: Final = 300317
UNKNOWN: Final = 200740
EXPIRED: Final = 200750
UUID_CONFLICT: Final = 200770
STREAMING_TIMEOUT: Final = 200850
TOO_LARGE: Final = 200860
ALREADY_SENT: Final = 200780  # sending an entity twice is forbidden; its own code is not documented

LIFE: Final = 14 * 86400.0
STREAMING_LIFE: Final = 600.0  # the often quoted ten minutes
MOST_BYTES: Final = 30 * 1024
MOST_TEXT: Final = 100_000
LONGEST_UUID: Final = 64


@dataclass(eq=False, slots=True)
class Entity:
    """One card; `streaming_since` is None while streaming mode is off."""

    card_id: str
    app: App
    card: dict[str, Any]
    created: float
    sequence: int = -1
    streaming_since: float | None = None
    timed_out: bool = False
    message: Message | None = None
    uuids: dict[str, bytes] = field(default_factory=dict)
    texts: list[tuple[int, str]] = field(default_factory=list)
    """Every streamed text with its sequence, in order."""


class Entities:
    """All card entities by id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.cards: dict[str, Entity] = {}

    def make(self, app: App, card: dict[str, Any]) -> Entity:
        """A new entity of an app."""
        card_id = f"73{self._world.serial():017d}"
        entity = self.cards[card_id] = Entity(card_id, app, card, self._world.clock.now())
        self._stream(entity, streaming(card))
        return entity

    def unsendable(self, card_id: Any, app: App) -> tuple[int, str] | None:
        """Why an entity cannot be sent (sub-code, text), or None."""
        entity = self.cards.get(card_id) if isinstance(card_id, str) else None
        if entity is None:
            return UNKNOWN, "card entity does not exist"
        if entity.app is not app:
            return FOREIGN, "no permission for this card entity"
        if entity.created < self._world.clock.now() - LIFE:
            return EXPIRED, "card entity has expired"
        if entity.message is not None:
            return ALREADY_SENT, "a card entity can be sent only once"
        return None

    def attach(self, card_id: str, message: Message) -> None:
        """Note in which message an entity was sent."""
        self.cards[card_id].message = message
        message.card_id = card_id
        self._show(self.cards[card_id])

    def begin(self, ask: Ask, *, needs_streaming: bool = False) -> tuple[Entity, dict[str, Any], bool]:
        """The entity of a change, its body, and whether the same uuid made this change before."""
        document = ask.json()
        card_id = ask.call.target = ask.params[0]
        ask.call.uuid = text_field(document, "uuid", BAD_PARAMETER, required=False)
        entity = self.cards.get(card_id)
        if entity is None:
            raise Refusal(UNKNOWN, "card entity does not exist")
        if entity.message is not None:
            ask.call.message_id, ask.call.chat_id = entity.message.message_id, entity.message.chat.chat_id
        if entity.app is not ask.app:
            raise Refusal(FOREIGN, "only the app that made a card may change it")
        now = self._world.clock.now()
        if entity.created < now - LIFE:
            raise Refusal(EXPIRED, "card entity has expired")
        sequence = whole_field(document, "sequence", BAD_PARAMETER)
        if len(ask.call.uuid) > LONGEST_UUID:
            raise Refusal(BAD_PARAMETER, f"uuid has more than {LONGEST_UUID} characters")
        ask.desk.limits.target("card", card_id, PER_CARD)
        if ask.call.uuid in entity.uuids:
            if entity.uuids[ask.call.uuid] != ask.request.body:
                raise Refusal(UUID_CONFLICT, "the uuid was used for another change")
            ask.call.repeated = True
            return entity, document, True
        if entity.message is not None and ask.desk.card_tokens.open_on(entity.message):
            raise Refusal(CALLBACK_OPEN, "a user is interacting with the card")
        if sequence <= entity.sequence:
            raise Refusal(SEQUENCE, "sequence number compare failed: it must strictly increase")
        if entity.streaming_since is not None and entity.streaming_since < now - STREAMING_LIFE:
            entity.streaming_since, entity.timed_out = None, True
        if needs_streaming and entity.streaming_since is None:
            if entity.timed_out:
                raise Refusal(STREAMING_TIMEOUT, "streaming mode timed out")
            raise Refusal(STREAMING_OFF, "streaming mode is closed")
        return entity, document, False

    def commit(self, ask: Ask, entity: Entity, document: dict[str, Any], card: dict[str, Any]) -> None:
        """Put a changed card in place; Refusal where it is none any more."""
        check_entity(card)
        if len(orjson.dumps(card)) > MOST_BYTES:
            raise Refusal(TOO_LARGE, "the card has more than 30 KB")
        entity.card = card
        entity.sequence = document["sequence"]
        if ask.call.uuid:
            entity.uuids[ask.call.uuid] = ask.request.body
        self._stream(entity, streaming(card))
        self._show(entity)
        message = entity.message
        if message is not None:
            ask.desk.feed.put(
                lambda: {"type": "changed", "message_id": message.message_id, "chat_id": message.chat.chat_id}
            )

    def _stream(self, entity: Entity, on: bool) -> None:
        if not on:
            entity.streaming_since, entity.timed_out = None, False
        elif entity.streaming_since is None and not entity.timed_out:
            entity.streaming_since = self._world.clock.now()

    def _show(self, entity: Entity) -> None:
        if entity.message is not None:
            entity.message.content = orjson.dumps(entity.card).decode()


def create(ask: Ask) -> dict[str, Any]:
    """POST cardkit/v1/cards."""
    document = ask.json()
    if document.get("type") == "template":
        raise Refusal(BAD_PARAMETER, "only type card_json is supported here")
    if document.get("type") != "card_json":
        raise Refusal(BAD_PARAMETER, "type must be card_json")
    ask.call.content = text_field(document, "data", BAD_PARAMETER)
    card = _card(ask.call.content)
    check_entity(card)
    entity = ask.desk.entities.make(ask.app, card)
    ask.call.target = entity.card_id
    return {"card_id": entity.card_id}


def update(ask: Ask) -> dict[str, Any]:
    """PUT cardkit/v1/cards/:card_id: another card."""
    entity, document, again = ask.desk.entities.begin(ask)
    part = document.get("card")
    if not isinstance(part, dict):
        raise Refusal(BAD_PARAMETER, "card must be an object with type and data")
    ask.call.content = text_field(part, "data", BAD_PARAMETER)
    if not again:
        ask.desk.entities.commit(ask, entity, document, _card(ask.call.content))
    return {}


def settings(ask: Ask) -> dict[str, Any]:
    """PATCH cardkit/v1/cards/:card_id/settings: `config` and `card_link` merged in."""
    entity, document, again = ask.desk.entities.begin(ask)
    ask.call.content = text_field(document, "settings", BAD_PARAMETER)
    change = _card(ask.call.content)
    if not again:
        config = {**entity.card.get("config", {}), **change.get("config", {})}
        if "streaming_mode" in change.get("config", {}):
            entity.timed_out = False  # said anew: the ten minutes begin again
        ask.desk.entities.commit(ask, entity, document, {**entity.card, **change, "config": config})
    return {}


def content(ask: Ask) -> dict[str, Any]:
    """PUT cardkit/v1/cards/:card_id/elements/:element_id/content: the full text so far."""
    entity, document, again = ask.desk.entities.begin(ask, needs_streaming=True)
    text = ask.call.content = text_field(document, "content", BAD_PARAMETER)
    if len(text) > MOST_TEXT:
        raise Refusal(TOO_LARGE, "content has more than 100,000 characters")
    if not again:
        card = orjson.loads(orjson.dumps(entity.card))
        _element(card, ask.params[1])["content"] = text
        ask.desk.entities.commit(ask, entity, document, card)
        entity.texts.append((entity.sequence, text))
    return {}


def check_entity(card: dict[str, Any]) -> None:
    """Refuse a card that cannot be an entity."""
    if card.get("schema") != "2.0":
        raise Refusal(SCHEMA, "card entities are cards of schema 2.0")
    config = card.get("config")
    if isinstance(config, dict) and config.get("update_multi") is False:
        raise Refusal(UPDATE_MULTI, "update_multi must not be false")
    elements = sum("tag" in node for node in walk(card.get("body")))
    if elements > MOST_ELEMENTS:
        raise Refusal(TOO_MANY_ELEMENTS, "a card has at most 200 elements")
    fault = card_fault(card)
    if fault is not None:
        raise Refusal(fault[0], fault[1])


def streaming(card: dict[str, Any]) -> bool:
    """Whether the card says that it is being typed."""
    config = card.get("config")
    return isinstance(config, dict) and config.get("streaming_mode") is True


def _card(text: str) -> dict[str, Any]:
    if len(text.encode()) > MOST_BYTES:
        raise Refusal(TOO_LARGE, "the card has more than 30 KB")
    try:
        card = orjson.loads(text)
    except orjson.JSONDecodeError:
        card = None
    if not isinstance(card, dict):
        raise Refusal(BAD_PARAMETER, "not a JSON object serialised into a string")
    return card


def _element(card: dict[str, Any], element_id: str) -> dict[str, Any]:
    for node in walk(card):
        if node.get("element_id") == element_id:
            return node
    raise Refusal(NO_ELEMENT, "no element of the card has this element_id")
