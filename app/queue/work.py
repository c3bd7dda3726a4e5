"""What passes through the mailbox: an event coming in, what became of it, and one that was taken to be handled."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from app.core.errors import Fenced
from app.queue.envelope import Entry


class Incoming(NamedTuple):
    """An event to be accepted."""

    bot: str
    entry: Entry
    seen: tuple[str, ...]
    """Its dedup identities, one or two."""
    ttl: int
    """How long they are remembered, in seconds."""
    queue_size: int


class Receipt(NamedTuple):
    """What became of an event that was to be accepted."""

    status: Literal["accepted", "duplicate", "full", "refused"]
    """`refused`: Redis is there, and what it has of the bot, or the bot's settings, do not let it take the event."""
    log_id: str = ""


class Work(NamedTuple):
    """A claimed conversation and its started event; the claim is `owner fence`, compared in every script."""

    bot: str
    conversation: str
    owner: str
    fence: int
    log_id: str
    starts: int
    """How often the event was started, this time included."""
    failures: int
    """How many of the earlier starts ended in an orderly failure."""
    held: float
    """How long its retries have held up the conversation, in seconds."""
    entry: Entry

    @property
    def claim(self) -> str:
        return f"{self.owner} {self.fence}"

    @property
    def deaths(self) -> int:
        """How often the process that handled it ended without a word."""
        return max(0, self.starts - 1 - self.failures)


def unless_lost(work: Work, reply: Any) -> Any:
    """A script's reply; Fenced where it says that the claim is another's."""
    if reply == b"lost":
        raise Fenced(f"conversation {work.conversation} of bot {work.bot} was taken over by another worker")
    return reply
