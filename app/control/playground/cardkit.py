"""CardKit: the APIs that make card entities and change them in strict sequence."""

from __future__ import annotations

from typing import Any, Final

import orjson

from app.control.playground.ask import Ask, text_field, whole_field
from app.control.playground.card_tokens import CALLBACK_OPEN
from app.control.playground.cards import walk
from app.control.playground.entities import MOST_BYTES, TOO_LARGE, Entity, check_entity
from app.control.playground.limits import PER_CARD
from app.control.playground.wire import Refusal

BAD_PARAMETER: Final = 300301
STREAMING_OFF: Final = 300309
NO_ELEMENT: Final = 300313
SEQUENCE: Final = 300317
UUID_CONFLICT: Final = 200770
STREAMING_TIMEOUT: Final = 200850

MOST_TEXT: Final = 100_000
LONGEST_UUID: Final = 64


def begin(ask: Ask, *, needs_streaming: bool = False) -> tuple[Entity, dict[str, Any], bool]:
    """The entity of a change, its body, and whether the same uuid made this change before."""
    document = ask.json()
    card_id = ask.call.target = ask.params[0]
    ask.call.uuid = text_field(document, "uuid", BAD_PARAMETER, required=False)
    entity = ask.desk.entities.changeable(card_id, ask.app)
    if entity.message is not None:
        ask.call.message_id, ask.call.chat_id = entity.message.message_id, entity.message.chat.chat_id
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
    if needs_streaming and entity.streaming_since is None:
        if entity.timed_out:
            raise Refusal(STREAMING_TIMEOUT, "streaming mode timed out")
        raise Refusal(STREAMING_OFF, "streaming mode is closed")
    return entity, document, False


def commit(ask: Ask, entity: Entity, document: dict[str, Any], card: dict[str, Any]) -> None:
    """Put a changed card in place, and remember its uuid; Refusal where it is none any more."""
    ask.desk.entities.change(entity, card, document["sequence"])
    if ask.call.uuid:
        entity.uuids[ask.call.uuid] = ask.request.body
    message = entity.message
    if message is not None:
        ask.desk.feed.put(
            lambda: {"type": "changed", "message_id": message.message_id, "chat_id": message.chat.chat_id}
        )


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
    entity, document, again = begin(ask)
    part = document.get("card")
    if not isinstance(part, dict):
        raise Refusal(BAD_PARAMETER, "card must be an object with type and data")
    ask.call.content = text_field(part, "data", BAD_PARAMETER)
    if not again:
        commit(ask, entity, document, _card(ask.call.content))
    return {}


def settings(ask: Ask) -> dict[str, Any]:
    """PATCH cardkit/v1/cards/:card_id/settings: `config` and `card_link` merged in."""
    entity, document, again = begin(ask)
    ask.call.content = text_field(document, "settings", BAD_PARAMETER)
    change = _card(ask.call.content)
    if not again:
        config = {**entity.card.get("config", {}), **change.get("config", {})}
        if "streaming_mode" in change.get("config", {}):
            entity.timed_out = False  # said anew: the ten minutes begin again
        commit(ask, entity, document, {**entity.card, **change, "config": config})
    return {}


def content(ask: Ask) -> dict[str, Any]:
    """PUT cardkit/v1/cards/:card_id/elements/:element_id/content: the full text so far."""
    entity, document, again = begin(ask, needs_streaming=True)
    text = ask.call.content = text_field(document, "content", BAD_PARAMETER)
    if len(text) > MOST_TEXT:
        raise Refusal(TOO_LARGE, "content has more than 100,000 characters")
    if not again:
        card = orjson.loads(orjson.dumps(entity.card))
        _element(card, ask.params[1])["content"] = text
        commit(ask, entity, document, card)
        entity.texts.append((entity.sequence, text))
    return {}


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
