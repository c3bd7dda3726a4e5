"""One entry of a bot's log: what is known of an event in clear, and its sealed payload, in a versioned format."""

from __future__ import annotations

from typing import Literal, NamedTuple

import orjson

from app.core.errors import HubError

Kind = Literal["event", "call", "sent", "out"]

FORMAT = 1
CALL_PREFIX = "call:"
"""Begins conversations that are taken before all others: callbacks, and in the outbox what is not sent to many."""


class Entry(NamedTuple):
    """An accepted event, a callback, a sent message, or one to be sent; ids in clear, content only in `sealed`.

    A tuple, as is all that every event passes through: a frozen dataclass takes six times as long to make.
    """

    kind: Kind
    event_id: str
    identity: str
    """Dedup identity: the message id of a received message, else the event id. Names replies and the sent record."""
    type: str
    conversation: str
    chat_id: str
    user_id: str
    message_id: str
    received: float
    """When the hub took it, in seconds since the epoch."""
    replay: int
    """How often an operator replayed it: a replay is a new intention and answers again."""
    sealed: bytes

    def __repr__(self) -> str:
        return f"Entry(kind={self.kind!r}, event_id={self.event_id!r}, type={self.type!r})"

    def packed(self) -> bytes:
        """Everything but the payload, as the log has it."""
        return orjson.dumps((FORMAT, *self[:-1]))

    @classmethod
    def unpacked(cls, packed: bytes, sealed: bytes) -> Entry:
        """Read an entry back; HubError for a format of a newer hub or a damaged one, ValueError for what is no JSON."""
        document = orjson.loads(packed)
        version, *known = document if isinstance(document, list) else [FORMAT]
        if version != FORMAT:
            raise HubError(
                f"a log entry has format {version}, this hub reads {FORMAT}: run the newer version everywhere"
            )
        if len(known) != len(cls._fields) - 1:
            raise HubError("a log entry has not the fields of its format: it is damaged")
        return cls._make((*known, sealed))


def result_aad(event_id: str) -> bytes:
    """The record identity under which the answer to a callback is sealed."""
    return b"result\n" + event_id.encode()


def message_aad(message_id: str) -> bytes:
    """The record identity under which a message of the outbox is sealed."""
    return b"message\n" + message_id.encode()


def batch_aad(batch_id: str) -> bytes:
    """The record identity under which the content of a batch is sealed."""
    return b"batch\n" + batch_id.encode()


def fingerprint_aad(id: str) -> bytes:
    """The record identity under which the fingerprint of a message or batch is sealed."""
    return b"fingerprint\n" + id.encode()
