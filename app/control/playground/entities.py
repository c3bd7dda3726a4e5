"""Card entities: cards that live apart from their message, for fourteen days."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.control.playground.cards import MOST_ELEMENTS, card_fault, walk
from app.control.playground.wire import Refusal
from app.control.playground.world import App, Message, World

UPDATE_MULTI: Final = 300302
SCHEMA: Final = 300303
TOO_MANY_ELEMENTS: Final = 300305
FOREIGN: Final = 300311
UNKNOWN: Final = 200740
EXPIRED: Final = 200750
TOO_LARGE: Final = 200860
ALREADY_SENT: Final = 200780  # sending an entity twice is forbidden; its own code is not documented

LIFE: Final = 14 * 86400.0
STREAMING_LIFE: Final = 600.0  # the often quoted ten minutes
MOST_BYTES: Final = 30 * 1024


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

    def changeable(self, card_id: str, app: App) -> Entity:
        """The entity that an app is about to change; its streaming ends here if it lasted too long."""
        entity = self.cards.get(card_id)
        if entity is None:
            raise Refusal(UNKNOWN, "card entity does not exist")
        if entity.app is not app:
            raise Refusal(FOREIGN, "only the app that made a card may change it")
        now = self._world.clock.now()
        if entity.created < now - LIFE:
            raise Refusal(EXPIRED, "card entity has expired")
        if entity.streaming_since is not None and entity.streaming_since < now - STREAMING_LIFE:
            entity.streaming_since, entity.timed_out = None, True
        return entity

    def change(self, entity: Entity, card: dict[str, Any], sequence: int) -> None:
        """Put a changed card in place; Refusal where it is none any more."""
        check_entity(card)
        if len(orjson.dumps(card)) > MOST_BYTES:
            raise Refusal(TOO_LARGE, "the card has more than 30 KB")
        entity.card = card
        entity.sequence = sequence
        self._stream(entity, streaming(card))
        self._show(entity)

    def _stream(self, entity: Entity, on: bool) -> None:
        if not on:
            entity.streaming_since, entity.timed_out = None, False
        elif entity.streaming_since is None and not entity.timed_out:
            entity.streaming_since = self._world.clock.now()

    def _show(self, entity: Entity) -> None:
        if entity.message is not None:
            entity.message.content = orjson.dumps(entity.card).decode()


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
