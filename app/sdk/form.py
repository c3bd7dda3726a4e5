"""Fields of a card's form; their names are the keys of `CardAction.form`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class FormField(Protocol):
    """Anything that can stand in a form."""

    def to_dict(self) -> dict[str, Any]:
        """The component's schema 2.0 JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Input:
    """A line of text, or several."""

    name: str
    label: str
    placeholder: str = ""
    required: bool = False
    multiline: bool = False

    def to_dict(self) -> dict[str, Any]:
        component = {
            "tag": "input",
            "name": self.name,
            "label": _text(self.label),
            "required": self.required,
            "input_type": "multiline_text" if self.multiline else "text",
        }
        return {**component, "placeholder": _text(self.placeholder)} if self.placeholder else component


@dataclass(frozen=True, slots=True)
class Select:
    """One of several options: value to what people read."""

    name: str
    label: str
    options: Mapping[str, str] = field(default_factory=dict)
    required: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "tag": "select_static",
            "name": self.name,
            "placeholder": _text(self.label),
            "required": self.required,
            "options": [{"text": _text(text), "value": value} for value, text in self.options.items()],
        }


@dataclass(frozen=True, slots=True)
class DatePicker:
    """A day; it arrives as Feishu writes it, `2024-05-01 +0800`."""

    name: str
    label: str
    required: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "tag": "date_picker",
            "name": self.name,
            "placeholder": _text(self.label),
            "required": self.required,
        }


def _text(text: str) -> dict[str, str]:
    return {"tag": "plain_text", "content": text}
