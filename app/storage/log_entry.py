"""The log and its entries as the archiver sees them, and the row that an entry becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from app.storage.cipher import looks_sealed
from app.storage.message import NewMessage


class LogEntry(Protocol):
    """What the archiver reads of a log entry."""

    @property
    def kind(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def chat_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def message_id(self) -> str: ...
    @property
    def received(self) -> float: ...
    @property
    def sealed(self) -> bytes: ...


E = TypeVar("E", bound=LogEntry)


class Log(Protocol[E]):
    """The log as an archiver sees it; every call raises StoreUnavailable while Redis is away."""

    async def read(self, bots: Sequence[str], consumer: str, count: int, block_ms: int) -> Sequence[tuple[str, str, E]]:
        """New entries as (bot, log id, entry)."""
        ...

    async def left_behind(self, bots: Sequence[str], consumer: str, count: int) -> Sequence[tuple[str, str, E]]:
        """Entries that were read and never finished, by this consumer or by a dead one."""
        ...

    async def done(self, entries: Sequence[tuple[str, str, E]]) -> None:
        """These are stored."""
        ...

    async def lag(self, bots: Sequence[str]) -> int:
        """How many entries wait to be stored."""
        ...


def fault_of(entry: LogEntry) -> str | None:
    """What makes an entry impossible to store; None for a good one."""
    if entry.kind not in ("event", "call", "sent"):
        return "unknown kind"
    # Without generators: this is asked of every entry.
    names: tuple[object, ...] = (entry.event_id, entry.type, entry.chat_id, entry.user_id, entry.message_id)
    for name in names:
        if not isinstance(name, str):
            return "an id is missing or no text"
        # PostgreSQL takes no NUL in text: one such row would hold up all others.
        if "\0" in name:
            return "an id holds NUL"
    if not entry.event_id:
        return "an id is missing or no text"
    if not isinstance(entry.received, int | float) or not 0 <= entry.received < 1e12:
        return "its time is no time"
    if not isinstance(entry.sealed, bytes) or not looks_sealed(entry.sealed):
        return "its payload is not sealed"
    return None


def row_of(bot: str, entry: LogEntry) -> NewMessage:
    """The row that an entry becomes."""
    # The payload goes over as it is: log and store seal it for the same record, and the archiver needs no key.
    return NewMessage(
        bot,
        entry.event_id,
        "out" if entry.kind == "sent" else "in",
        entry.type,
        entry.chat_id,
        entry.user_id,
        entry.message_id,
        int(entry.received * 1000),
        entry.sealed,
    )
