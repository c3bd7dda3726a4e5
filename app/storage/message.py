"""One message of the store: as it is written, and as it is known without being opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Direction = Literal["in", "out"]

State = Literal["kept", "recalled", "shredded"]
"""What became of a message's content: it is there, was withdrawn in Feishu, or went with its bot's key."""

RECALLS = ("im.message.recalled_v1", "im.message.delete")
"""Types of what withdraws a message: by people, and by the bot itself."""


class NewMessage(NamedTuple):
    """One message to store; `key` is unique in its bot and part of the seal.

    A tuple, since the archiver makes tens of thousands a second.
    """

    bot: str
    key: str
    direction: Direction
    type: str
    chat_id: str
    user_id: str
    message_id: str
    """The message that it is, or that it is about (an edit, a reaction, a recall)."""
    created: int
    """Milliseconds since the epoch."""
    sealed: bytes

    def __repr__(self) -> str:
        return f"NewMessage(bot={self.bot!r}, key={self.key!r}, type={self.type!r})"


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """What is known of a stored message without opening it."""

    id: int
    bot: str
    key: str
    direction: Direction
    type: str
    chat_id: str
    user_id: str
    message_id: str
    created: int
    """Milliseconds since the epoch."""
    state: State = "kept"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A stored message with its sealed content; None where the content is gone."""

    info: MessageInfo
    sealed: bytes | None = field(repr=False)
