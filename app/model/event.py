"""The one shape in which every Feishu event moves through the hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Schema = Literal["1.0", "2.0", "card"]

# Events that Feishu wants answered in the HTTP response (Feishu docs: card callbacks, link previews).
CALLBACK_TYPES = frozenset({"card.action.trigger", "card.action.trigger_v1", "url.preview.get"})
MESSAGE_TYPE = "im.message.receive_v1"


class Event(NamedTuple):
    """One Feishu event, whatever schema it came in; `body` is its `event` part and never printed."""

    id: str
    """`header.event_id` (2.0), `uuid` (1.0), or a hash of the request for legacy cards, which carry no id."""
    type: str
    schema: Schema
    app_id: str
    tenant_key: str
    created: float | None
    """When Feishu says it happened, in seconds since the epoch; None where it does not say."""
    chat_id: str
    user_id: str
    """open_id of who did it; empty where nobody did."""
    message_id: str
    """The message it is about; for received messages the second dedup identity."""
    thread_id: str
    body: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Event(id={self.id!r}, type={self.type!r}, chat_id={self.chat_id!r}, user_id={self.user_id!r})"

    @property
    def is_callback(self) -> bool:
        """Whether Feishu waits for the answer in the HTTP response."""
        return self.type in CALLBACK_TYPES

    @property
    def is_message(self) -> bool:
        return self.type == MESSAGE_TYPE
