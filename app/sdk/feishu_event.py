"""Any Feishu event that is neither a message nor a callback, as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.model.event import Event


@dataclass(frozen=True, slots=True)
class FeishuEvent:
    """An event by its type; `body` is its `event` part, as Feishu documents that type."""

    type: str
    id: str
    created: float | None
    """When it happened, in seconds since the epoch; None where Feishu does not say."""
    chat_id: str
    user_id: str
    message_id: str
    body: Mapping[str, Any] = field(repr=False)
    event: Event

    @classmethod
    def of(cls, event: Event) -> FeishuEvent:
        """The event for its handler."""
        return cls(
            type=event.type,
            id=event.id,
            created=event.created,
            chat_id=event.chat_id,
            user_id=event.user_id,
            message_id=event.message_id,
            body=event.body,
            event=event,
        )
