"""CardKit's calls on single elements: add, replace, patch, delete, many at once, and message to card id."""

from __future__ import annotations

from typing import Any

import orjson

from app.control.playground.ask import Ask, text_field
from app.control.playground.cardkit import BAD_PARAMETER, NO_ELEMENT, begin, commit
from app.control.playground.cards import walk
from app.control.playground.entities import UNKNOWN
from app.control.playground.receivers import message_for
from app.control.playground.wire import Refusal


def add(ask: Ask) -> dict[str, Any]:
    """POST cardkit/v1/cards/:card_id/elements: `type` insert_before, insert_after or append."""
    entity, document, again = begin(ask)
    if not again:
        card = _copy(entity.card)
        _add(card, document)
        commit(ask, entity, document, card)
    return {}


def replace(ask: Ask) -> dict[str, Any]:
    """PUT cardkit/v1/cards/:card_id/elements/:element_id."""
    return _on_element(ask, "element", lambda old, new: new)


def patch(ask: Ask) -> dict[str, Any]:
    """PATCH cardkit/v1/cards/:card_id/elements/:element_id: some of its properties."""
    return _on_element(ask, "partial_element", lambda old, new: old | new)


def delete(ask: Ask) -> dict[str, Any]:
    """DELETE cardkit/v1/cards/:card_id/elements/:element_id."""
    entity, document, again = begin(ask)
    if not again:
        card = _copy(entity.card)
        siblings, index = _find(card, ask.params[1])
        del siblings[index]
        commit(ask, entity, document, card)
    return {}


def batch_update(ask: Ask) -> dict[str, Any]:
    """POST cardkit/v1/cards/:card_id/batch_update: a list of actions, all or none."""
    entity, document, again = begin(ask)
    ask.call.content = text_field(document, "actions", BAD_PARAMETER)
    if again:
        return {}
    card = _copy(entity.card)
    actions = _parsed(ask.call.content)
    if not isinstance(actions, list):
        raise Refusal(BAD_PARAMETER, "actions must be a JSON list in a string")
    for action in actions:
        params = action.get("params") if isinstance(action, dict) else None
        if not isinstance(params, dict):
            raise Refusal(BAD_PARAMETER, "every action needs action and params")
        _act(card, str(action.get("action")), params)
    commit(ask, entity, document, card)
    return {}


def id_convert(ask: Ask) -> dict[str, Any]:
    """POST cardkit/v1/cards/id_convert: the card id of a message."""
    message = message_for(ask.desk.world, ask.app, text_field(ask.json(), "message_id", BAD_PARAMETER))
    if not message.card_id:
        card = orjson.loads(message.content) if message.msg_type == "interactive" else None
        if card is None or message.sender is not ask.app or card.get("schema") != "2.0":
            raise Refusal(UNKNOWN, "the message holds no card of schema 2.0 of this app")
        ask.desk.entities.attach(ask.desk.entities.make(ask.app, card).card_id, message)
    return {"card_id": message.card_id}


def _act(card: dict[str, Any], action: str, params: dict[str, Any]) -> None:
    if action == "partial_update_setting":
        change = params.get("settings")
        if not isinstance(change, dict):
            raise Refusal(BAD_PARAMETER, "settings must be an object")
        card["config"] = {**card.get("config", {}), **change.get("config", {})}
    elif action == "add_elements":
        _add(card, params)
    elif action == "delete_elements":
        for element_id in params.get("element_ids", []):
            siblings, index = _find(card, str(element_id))
            del siblings[index]
    elif action in ("update_element", "partial_update_element"):
        siblings, index = _find(card, str(params.get("element_id")))
        new = params.get("element" if action == "update_element" else "partial_element")
        if not isinstance(new, dict):
            raise Refusal(BAD_PARAMETER, "element must be an object")
        siblings[index] = new if action == "update_element" else siblings[index] | new
    else:
        raise Refusal(BAD_PARAMETER, f"action {action} is not known")


def _add(card: dict[str, Any], params: dict[str, Any]) -> None:
    elements = params.get("elements")
    new = _parsed(elements) if isinstance(elements, str) else elements
    if not isinstance(new, list):
        raise Refusal(BAD_PARAMETER, "elements must be a list")
    where = params.get("type", "append")
    if where == "append" and not params.get("target_element_id"):
        card["body"]["elements"].extend(new)
        return
    siblings, index = _find(card, str(params.get("target_element_id")))
    if where == "append":
        siblings[index].setdefault("elements", []).extend(new)
    elif where in ("insert_before", "insert_after"):
        at = index + (where == "insert_after")
        siblings[at:at] = new
    else:
        raise Refusal(BAD_PARAMETER, "type must be insert_before, insert_after or append")


def _on_element(ask: Ask, name: str, change: Any) -> dict[str, Any]:
    entity, document, again = begin(ask)
    ask.call.content = text_field(document, name, BAD_PARAMETER)
    new = _parsed(ask.call.content)
    if not isinstance(new, dict):
        raise Refusal(BAD_PARAMETER, f"{name} must be a JSON object in a string")
    if not again:
        card = _copy(entity.card)
        siblings, index = _find(card, ask.params[1])
        siblings[index] = change(siblings[index], new)
        commit(ask, entity, document, card)
    return {}


def _find(card: dict[str, Any], element_id: str) -> tuple[list[dict[str, Any]], int]:
    """The list that holds an element, and where in it."""
    for node in walk(card):
        for siblings in node.values():
            for index, child in enumerate(siblings) if isinstance(siblings, list) else ():
                if isinstance(child, dict) and child.get("element_id") == element_id:
                    return siblings, index
    raise Refusal(NO_ELEMENT, "no element of the card has this element_id")


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Refusal(BAD_PARAMETER, "not JSON serialised into a string") from None


def _copy(card: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = orjson.loads(orjson.dumps(card))
    return copied
