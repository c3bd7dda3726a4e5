"""What stands on the outbox: a message to be put there, what became of it, and the progress of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from app.queue.envelope import Entry

State = Literal["queued", "sending", "sent", "failed", "cancelled"]
FINAL: Final[frozenset[State]] = frozenset({"sent", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a message that was to be put on the outbox."""

    how: Literal["queued", "known", "full"]
    fingerprint: bytes = b""
    """Of one that is there already: with which fingerprint it was put."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be put on the outbox; its id is the entry's event id, its order that of the entry's conversation."""

    entry: Entry
    due: float = 0.0
    """When it may be sent, in seconds since the epoch; 0: at once."""
    fingerprint: bytes = b""
    """Tells a repeated call from another one under the same id; sealed, since it is made of the content."""
    batch: str = ""


@dataclass(frozen=True, slots=True)
class MessageState:
    """One message of the outbox; times in seconds since the epoch."""

    id: str
    state: State
    created: float
    changed: float
    due: float
    message_id: str = ""
    """Feishu's, of one that was sent; may be empty, where Feishu answered a repeated uuid without it."""
    reason: str = ""
    """Why it failed, or for what it waits."""
    batch: str = ""

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class BatchState:
    """How far the messages of one call are."""

    id: str
    total: int
    created: float
    sent: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def waiting(self) -> int:
        """Those that are not at their end."""
        return max(0, self.total - self.sent - self.failed - self.cancelled)

    @property
    def is_final(self) -> bool:
        return self.waiting == 0
