"""Turns what a bot says into what Feishu takes: a message type, and its content as a JSON string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.core.errors import FeishuRefused, Misused
from app.model.outbound import MessageType
from app.sdk.content import Content, message_of

# Feishu docs: im-v1 message create, bytes.
TEXT_LIMIT: Final = 150 * 1024
CARD_LIMIT: Final = 30 * 1024
# Receiver, message type, uuid and their names: what a request holds beside the content.
_ENVELOPE: Final = 256

_CARD_KEYS: Final = frozenset({"schema", "elements", "header", "config", "body", "i18n_elements"})
_CARD_TYPES: Final = frozenset({"template", "card"})
_BY_KEY: Final[Mapping[str, MessageType]] = {"text": "text", "image_key": "image", "file_key": "file"}


def render(content: Content | Mapping[str, Any]) -> tuple[MessageType, str]:
    """`msg_type` and `content`; a mapping is a card, a post by its locales, or a content as Feishu writes it.

    Raises FeishuRefused if it is too long or empty, Misused if a bot cannot say it.
    """
    if isinstance(content, Mapping):
        kind, document = kind_of(content), content
    else:
        kind, document = message_of(content)
    text = orjson.dumps(document)
    limit = limit_of(kind)
    if len(text) > limit:
        raise FeishuRefused(
            f"a {_NAMES.get(kind, kind)} of {len(text)} bytes is too long: Feishu takes {limit // 1024} KB"
            f"{_biggest(document)}; send it in parts or as a file"
        )
    if kind == "text" and document.get("text") == "":
        raise FeishuRefused("an empty text cannot be sent: return None to say nothing")
    return kind, text.decode()


_NAMES: Final[Mapping[str, str]] = {"interactive": "card"}


def limit_of(kind: MessageType) -> int:
    """The most bytes that one message can have."""
    return TEXT_LIMIT if kind == "text" else CARD_LIMIT


def request_size(content: str) -> int:
    """Bytes of the request that carries `content`, escaped once more.

    Feishu says that it bounds the request, but not whether it counts the escapes.
    """
    return len(orjson.dumps(content)) + _ENVELOPE


def elements_of(card: Mapping[str, Any]) -> list[Any]:
    """The elements of a card of either schema; none if it has them elsewhere (templates)."""
    body = card.get("body")
    elements = body.get("elements") if isinstance(body, Mapping) else card.get("elements")
    return elements if isinstance(elements, list) else []


def _biggest(card: Mapping[str, Any]) -> str:
    """Says which element of a card is the biggest; nothing for what is no card."""
    sizes = [(len(orjson.dumps(element)), number) for number, element in enumerate(elements_of(card), 1)]
    if not sizes:
        return ""
    size, number = max(sizes)
    tag = elements_of(card)[number - 1]
    tag = tag.get("tag", "") if isinstance(tag, Mapping) else ""
    return f", and its element {number} ({tag}) alone is {size} bytes"


def kind_of(document: Mapping[str, Any]) -> MessageType:
    """The type of message a mapping is the content of, by its keys; raises Misused."""
    if _CARD_KEYS & document.keys() or (document.get("type") in _CARD_TYPES and "data" in document):
        return "interactive"
    if len(document) == 1:
        for key, kind in _BY_KEY.items():
            if isinstance(document.get(key), str):
                return kind
    if document and all(isinstance(post, Mapping) and "content" in post for post in document.values()):
        return "post"
    raise Misused(
        "this mapping is neither a card (schema, elements, header or config), nor a post "
        '({"zh_cn": {"title": …, "content": [[…]]}}), nor a text, image or file'
    )
