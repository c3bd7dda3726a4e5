"""Cards: what Feishu takes as one, and its parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from app.control.playground.wire import Refusal
from app.control.playground.world import App, Message, World

NOT_CREATED: Final = 230099
BAD_JSON: Final = 200621
BAD_TAG: Final = 200861
BAD_IMAGE: Final = 200570
BAD_USER: Final = 100290
NO_TEMPLATE: Final = 200380
TOO_MANY: Final = 11310
MOST_ELEMENTS: Final = 200
MOST_TABLES: Final = 3
CARD_BYTES: Final = 30 * 1024


_GONE_IN_2: Final = frozenset({"action", "note"})
_AT: Final = re.compile(r"<at\s+id\s*=\s*[\"']?([^\s\"'>]+)")
_TABLE: Final = re.compile(r"^\s*\|?\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)+\|?\s*$", re.MULTILINE)


def check_card(world: World, app: App, document: dict[str, Any]) -> None:
    """Refuse (230099 with the real cause in `msg`) what Feishu could make no card of."""
    if document.get("type") == "template":
        data = document.get("data")
        if not isinstance(data, dict) or data.get("template_id") not in world.templates:
            raise not_created(NO_TEMPLATE, "template does not exist")
        return
    if document.get("type") == "card":
        return  # an entity: the sender looks it up, since sending uses it up
    fault = card_fault(document)
    if fault is not None:
        raise not_created(*fault)
    for node in walk(document):
        key = node.get("img_key")
        if isinstance(key, str) and key and key not in world.uploads:
            raise not_created(BAD_IMAGE, "image key is invalid")
        text = node.get("content")
        for who in _AT.findall(text) if isinstance(text, str) and "<at" in text else ():
            known = world.by_open_id(who)
            if who != "all" and (known is None or known[0] is not app):
                raise not_created(BAD_USER, "at user is invalid")


def card_fault(card: dict[str, Any]) -> tuple[int, str] | None:
    """What is wrong with a raw card's shape (sub-code, text), or None."""
    if card.get("schema", "1.0") not in ("1.0", "2.0"):
        return BAD_JSON, "unknown schema"
    second = card.get("schema") == "2.0"
    body = card.get("body") if second else card
    elements = body.get("elements") if isinstance(body, dict) else None
    if not isinstance(elements, list) and not (not second and isinstance(card.get("i18n_elements"), dict)):
        return BAD_JSON, "body.elements is missing" if second else "elements is missing"
    header = card.get("header")
    if header is not None and not (isinstance(header, dict) and isinstance(header.get("title"), dict)):
        return BAD_JSON, "header.title is missing"
    count = tables = 0
    for element in elements or []:
        if not isinstance(element, dict) or not isinstance(element.get("tag"), str):
            return BAD_JSON, "every element needs a tag"
    for node in walk(elements or []):
        tag = node.get("tag")
        if second and tag in _GONE_IN_2:
            return BAD_TAG, f"cards of schema V2 no longer support this capability; unsupported tag {tag}"
        count += isinstance(tag, str)
        if tag in ("markdown", "lark_md") and isinstance(node.get("content"), str):
            tables += len(_TABLE.findall(node["content"]))
        tables += tag == "table"
    if count > MOST_ELEMENTS or tables > MOST_TABLES:
        return TOO_MANY, "element or table number over limit"
    return None


def not_created(code: int, text: str) -> Refusal:
    """The answer to a card that cannot be made; the sub-code stands only in the text."""
    return Refusal(NOT_CREATED, f"Failed to create card content, ext=ErrCode: {code}; ErrMsg: {text}; ")


def shared(card: dict[str, Any]) -> bool:
    """Whether everyone sees the same card and it may be updated: always for 2.0, by `update_multi` for 1.0."""
    config = card.get("config")
    declared = config.get("update_multi") if isinstance(config, dict) else None
    return declared is True or (declared is None and card.get("schema") == "2.0")


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in a card, outer ones first."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            if isinstance(value, dict | list):
                yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def replace_card(world: World, message: Message, card: dict[str, Any]) -> None:
    """Put another card in a message's place."""
    message.content = orjson.dumps(card).decode()
    message.updated = world.clock.now()
