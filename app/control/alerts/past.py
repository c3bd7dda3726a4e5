"""The history's entries: which alert fired or ended, and when."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import orjson

from app.control.alerts.states import Alert


@dataclass(frozen=True, slots=True)
class Past:
    """One entry of the history."""

    what: Literal["fired", "resolved"]
    at: float
    """Seconds since the epoch."""
    alert: Alert

    def packed(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def unpacked(cls, packed: bytes) -> Past:
        found: dict[str, Any] = orjson.loads(packed)
        return cls(found["what"], found["at"], Alert(**found["alert"]))
