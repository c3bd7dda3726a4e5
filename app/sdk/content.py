"""What a bot can say: text, markdown, a card, rich text, an image, a file; and how each looks to Feishu."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from app.core.errors import Misused
from app.model.outbound import MessageType
from app.sdk.card import Card
from app.sdk.markdown import for_card, shown_by

# Feishu turns these tags into notifications, in texts and in a card's markdown alike.
_MENTION_TAG = re.compile(r"<(?=\s*/?\s*(?:at|person)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Post:
    """Rich text, written as markdown, with an optional title."""

    markdown: str = field(repr=False)
    title: str = field(default="", repr=False)
    locale: str = "zh_cn"

    def to_dict(self) -> dict[str, Any]:
        """The `content` of a `post` message."""
        paragraph = [{"tag": "md", "text": self.markdown}]
        return {self.locale: {"title": self.title, "content": [paragraph]}}


@dataclass(frozen=True, slots=True)
class Markdown:
    """Markdown, as the simplest message that shows it: a text, a post, or (headings, tables, code) a card."""

    text: str = field(repr=False)
    title: str = field(default="", repr=False)

    @property
    def content(self) -> str | Post | Card:
        """What is said."""
        kind = shown_by(self.text)
        if kind == "interactive":
            return Card.of(self.title).text(for_card(self.text))
        return Post(self.text, self.title) if kind == "post" or self.title else self.text


@dataclass(frozen=True, slots=True)
class Image:
    """An image that `ctx.upload(…, kind="image")` gave the key of."""

    key: str


@dataclass(frozen=True, slots=True)
class File:
    """A file by its key; `audio` must have been uploaded as `opus`, `media` (a video) as `mp4`."""

    key: str
    kind: Literal["file", "audio", "media"] = "file"


Content = str | Markdown | Card | Post | Image | File
"""Everything that can be replied and sent."""


def message_of(content: Content) -> tuple[MessageType, dict[str, Any]]:
    """Feishu's `msg_type` and `content` (not yet a string) of what a bot says; else Misused."""
    match content:
        case str():
            return "text", {"text": content}
        case Markdown():
            return message_of(content.content)
        case Card():
            return "interactive", content.to_dict()
        case Post():
            return "post", content.to_dict()
        case Image():
            return "image", {"image_key": content.key}
        case File():
            return content.kind, {"file_key": content.key}
    raise Misused(
        f"a bot cannot say a {type(content).__name__}: "
        "give text, Markdown, Card (Card.raw for a card's JSON), Post, Image or File"
    )


def at(open_id: str) -> str:
    """A mention of a person, for a text; `all` mentions everybody. In a card write `Card.at(open_id)`."""
    return f'<at user_id="{open_id}"></at>'


def plain(text: str) -> str:
    """Another's words made harmless: repeated by a bot, `<at …>` in them would notify people."""
    return _MENTION_TAG.sub("＜", text)
