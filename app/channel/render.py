"""Turns what a bot says into what Feishu takes: a message type and its content as a JSON string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.core.errors import FeishuRefused
from app.model.outbound import MessageType
from app.sdk.content import Content, message_of

# Feishu docs: im-v1 message create, bytes.
TEXT_LIMIT: Final = 150 * 1024
CARD_LIMIT: Final = 30 * 1024

_CARD_KEYS: Final = frozenset({"schema", "elements", "header", "config", "body", "i18n_elements"})
_CARD_TYPES: Final = frozenset({"template", "card"})
_BY_KEY: Final[Mapping[str, MessageType]] = {"text": "text", "image_key": "image", "file_key": "file"}


def render(content: Content | Mapping[str, Any]) -> tuple[MessageType, str]:
    """`msg_type` and `content`; a mapping is a card, a post by its locales, or a content as Feishu writes it.

    Raises FeishuRefused for what is too long or empty, TypeError for what a bot cannot say.
    """
    if isinstance(content, Mapping):
        kind, document = _kind(content), content
    else:
        kind, document = message_of(content)
    text = orjson.dumps(document)
    limit = TEXT_LIMIT if kind == "text" else CARD_LIMIT
    if len(text) > limit:
        raise FeishuRefused(
            f"a {_NAMES.get(kind, kind)} of {len(text)} bytes is too long: Feishu takes {limit // 1024} KB; "
            "send it in parts or as a file"
        )
    if kind == "text" and document.get("text") == "":
        raise FeishuRefused("an empty text cannot be sent: return None to say nothing")
    return kind, text.decode()


_NAMES: Final[Mapping[str, str]] = {"interactive": "card"}


def _kind(document: Mapping[str, Any]) -> MessageType:
    if _CARD_KEYS & document.keys() or (document.get("type") in _CARD_TYPES and "data" in document):
        return "interactive"
    if len(document) == 1:
        for key, kind in _BY_KEY.items():
            if isinstance(document.get(key), str):
                return kind
    if document and all(isinstance(post, Mapping) and "content" in post for post in document.values()):
        return "post"
    raise TypeError(
        "this mapping is neither a card (schema, elements, header or config), nor a post "
        '({"zh_cn": {"title": …, "content": [[…]]}}), nor a text, image or file'
    )
