"""Turns what is to be said later into JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.sdk.card import Card
from app.sdk.content import Content, File, Image, Markdown, Post, message_of


def kept(content: Content) -> dict[str, Any]:
    """What a bot says, as JSON; TypeError for what it cannot say."""
    if isinstance(content, Markdown):
        return {"type": "markdown", "content": {"text": content.text, "title": content.title}}
    msg_type, document = message_of(content)
    if isinstance(content, Post):
        document = {"markdown": content.markdown, "title": content.title, "locale": content.locale}
    return {"type": msg_type, "content": document}


def content_of(said: Mapping[str, Any]) -> Content:
    """The content again, from what `kept` made."""
    document = said["content"]
    match said["type"]:
        case "text":
            return str(document["text"])
        case "markdown":
            return Markdown(**document)
        case "interactive":
            return Card.raw(document)
        case "post":
            return Post(**document)
        case "image":
            return Image(document["image_key"])
        case kind:
            return File(document["file_key"], kind)
