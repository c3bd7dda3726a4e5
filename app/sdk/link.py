"""What a link preview shows in place of a bare address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.sdk.card import Card


@dataclass(frozen=True, slots=True)
class Link:
    """A preview: a title in the line of text, optionally with an icon and a card below it."""

    title: str = field(repr=False)
    card: Card | None = None
    image_key: str = ""
    i18n: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The title by locale (`zh_cn`, `en_us`)."""
    url: str = field(default="", repr=False)
    """Where a click leads; empty leaves it at the address itself."""

    def to_dict(self) -> dict[str, Any]:
        """The answer to `url.preview.get`."""
        inline: dict[str, Any] = {"title": self.title}
        if self.i18n:
            inline["i18n_title"] = dict(self.i18n)
        if self.image_key:
            inline["image_key"] = self.image_key
        if self.url:
            inline["url"] = dict.fromkeys(("copy_url", "pc", "ios", "android", "web"), self.url)
        if self.card is None:
            return {"inline": inline}
        return {"inline": inline, "card": self.card.to_answer()}
