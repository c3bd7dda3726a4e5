"""The news of one evaluation, and to which channels it still has to go."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from app.control.alerts.states import Alert, News


@dataclass(frozen=True, slots=True)
class Item:
    """One alert, and what is new about it."""

    news: News
    alert: Alert


@dataclass(frozen=True, slots=True)
class Notice:
    """One message for each of its channels, with all that an evaluation found for them: a storm is one message."""

    id: str
    at: float
    """Seconds since the epoch."""
    items: tuple[Item, ...]
    left: tuple[str, ...]
    """Channels that have not received it."""
    reached: int = 0
    """How many channels have."""

    @classmethod
    def of(cls, at: float, items: Iterable[Item], channels: Iterable[str]) -> Notice:
        return cls(secrets.token_hex(8), at, tuple(items), tuple(channels))

    def got_by(self, channel: str) -> Notice:
        """The notice after a channel has received it."""
        return replace(self, left=tuple(one for one in self.left if one != channel), reached=self.reached + 1)

    def packed(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def unpacked(cls, packed: bytes) -> Notice:
        found: dict[str, Any] = orjson.loads(packed)
        items = tuple(Item(item["news"], Alert(**item["alert"])) for item in found["items"])
        return cls(found["id"], found["at"], items, tuple(found["left"]), found["reached"])
