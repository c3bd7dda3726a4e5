"""Cards (schema 2.0), written as a chain: `Card.of(title="…").text("…").button("OK", action="ok")`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.core.errors import Misused
from app.sdk.form import FormField

Color = Literal[
    "blue",
    "wathet",
    "turquoise",
    "green",
    "yellow",
    "orange",
    "red",
    "carmine",
    "violet",
    "purple",
    "indigo",
    "grey",
    "default",
]
ButtonStyle = Literal["default", "primary", "danger"]


@dataclass(frozen=True, slots=True)
class Card:
    """A card; every method gives a new one, so a card can be kept and built upon."""

    title: str = field(default="", repr=False)
    color: Color = "blue"
    elements: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    document: Mapping[str, Any] | None = field(default=None, repr=False)
    """Set where the card was not built here (`raw`, `template`)."""

    @classmethod
    def of(cls, title: str = "", color: Color = "blue") -> Card:
        """An empty card; without a title it has no header."""
        return cls(title=title, color=color)

    @classmethod
    def raw(cls, document: Mapping[str, Any]) -> Card:
        """A card from its JSON, as Feishu's card editor exports it."""
        return cls(document=document)

    @classmethod
    def template(cls, template_id: str, variables: Mapping[str, Any] | None = None, version: str = "") -> Card:
        """A card template published in Feishu's card editor, with its variables."""
        data: dict[str, Any] = {"template_id": template_id, "template_variable": dict(variables or {})}
        if version:
            data["template_version_name"] = version
        return cls(document={"type": "template", "data": data})

    @staticmethod
    def at(open_id: str) -> str:
        """A mention of a person for a card's markdown; `all` mentions everybody."""
        return f"<at id={open_id}></at>"

    def text(self, markdown: str) -> Card:
        """A paragraph of markdown; other people's words belong through `plain` first."""
        return self.element({"tag": "markdown", "content": markdown})

    def divider(self) -> Card:
        """A line across."""
        return self.element({"tag": "hr"})

    def image(self, key: str, alt: str = "") -> Card:
        """An image, by the key that `ctx.upload(…, kind="image")` gave."""
        return self.element({"tag": "img", "img_key": key, "alt": _plain_text(alt)})

    def button(
        self,
        text: str,
        *,
        action: str,
        value: Mapping[str, Any] | None = None,
        style: ButtonStyle = "default",
        confirm: str = "",
    ) -> Card:
        """A button that calls `@bot.card(action)` with `value`; buttons in succession share a row.

        `confirm` is asked before the press counts.
        """
        button = {
            "tag": "button",
            "text": _plain_text(text),
            "type": style,
            "behaviors": [{"type": "callback", "value": {**(value or {}), "action": action}}],
        }
        if confirm:
            button["confirm"] = {"title": _plain_text(text), "text": _plain_text(confirm)}
        return self.element(button)

    def link(self, text: str, url: str, *, style: ButtonStyle = "default") -> Card:
        """A button that opens a page."""
        return self.element(
            {
                "tag": "button",
                "text": _plain_text(text),
                "type": style,
                "behaviors": [{"type": "open_url", "default_url": url}],
            }
        )

    def form(
        self,
        *fields: FormField,
        submit: str,
        action: str,
        value: Mapping[str, Any] | None = None,
        name: str = "form",
    ) -> Card:
        """Fields and a button that sends them: `@bot.card(action)` finds what was filled in in `.form`.

        A card may hold several forms, each with a `name` of its own.
        """
        # Inside a form Feishu wants every component named (client error 200530), the button too.
        button = {
            "tag": "button",
            "name": action,
            "text": _plain_text(submit),
            "type": "primary",
            "form_action_type": "submit",
            "behaviors": [{"type": "callback", "value": {**(value or {}), "action": action}}],
        }
        return self.element({"tag": "form", "name": name, "elements": [*(one.to_dict() for one in fields), button]})

    def element(self, element: Mapping[str, Any]) -> Card:
        """Any other schema 2.0 component, as its JSON."""
        if self.document is not None:
            raise Misused("a card of Card.raw or Card.template is complete: elements cannot be added")
        return replace(self, elements=(*self.elements, element))

    def to_dict(self) -> dict[str, Any]:
        """The card's JSON, shared by all who see it (`update_multi`, which every later update needs)."""
        if self.document is not None:
            return dict(self.document)
        card: dict[str, Any] = {"schema": "2.0", "config": {"update_multi": True}}
        if self.title:
            card["header"] = {"title": _plain_text(self.title), "template": self.color}
        card["body"] = {"elements": _with_rows(self.elements)}
        return card

    def to_answer(self) -> dict[str, Any]:
        """The card as part of a callback's answer, where it stands inside `type` and `data`."""
        document = self.to_dict()
        return document if document.get("type") == "template" else {"type": "raw", "data": document}


def _plain_text(text: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": text}


def _with_rows(elements: tuple[Mapping[str, Any], ...]) -> list[Mapping[str, Any]]:
    """Put buttons that follow one another side by side; schema 2.0 has columns for it and no `action` row."""
    rows: list[list[Mapping[str, Any]]] = []
    for element in elements:
        beside = rows and element["tag"] == "button" and rows[-1][-1]["tag"] == "button"
        if beside:
            rows[-1].append(element)
        else:
            rows.append([element])
    return [row[0] if len(row) == 1 else _columns(row) for row in rows]


def _columns(row: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    columns = [{"tag": "column", "width": "auto", "elements": [element]} for element in row]
    return {"tag": "column_set", "flex_mode": "flow", "columns": columns}
