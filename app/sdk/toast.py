"""The short notice that the person who pressed a card's button sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ToastKind = Literal["success", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Toast:
    """A notice; `i18n` holds it by locale (`zh_cn`, `en_us`), `content` is for all others."""

    kind: ToastKind
    content: str = field(repr=False)
    i18n: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def success(cls, content: str, i18n: Mapping[str, str] | None = None) -> Toast:
        return cls("success", content, i18n or {})

    @classmethod
    def info(cls, content: str, i18n: Mapping[str, str] | None = None) -> Toast:
        return cls("info", content, i18n or {})

    @classmethod
    def warning(cls, content: str, i18n: Mapping[str, str] | None = None) -> Toast:
        return cls("warning", content, i18n or {})

    @classmethod
    def error(cls, content: str, i18n: Mapping[str, str] | None = None) -> Toast:
        return cls("error", content, i18n or {})

    def to_dict(self) -> dict[str, Any]:
        """The `toast` of a callback's answer."""
        toast: dict[str, Any] = {"type": self.kind, "content": self.content}
        return {**toast, "i18n": dict(self.i18n)} if self.i18n else toast
