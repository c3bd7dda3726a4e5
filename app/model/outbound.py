"""What leaves for Feishu: where to, what, and under which name it is sent once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from app.core.errors import HubError

TargetKind = Literal["chat_id", "open_id", "user_id", "union_id", "email", "reply"]
BY_PERSON: Final = frozenset({"open_id", "user_id", "union_id", "email"})
"""Kinds of targets that are a person."""
ChangeType = Literal[
    "im.message.patch",
    "im.message.update",
    "im.message.delete",
    "im.message.reaction.create",
    "im.message.reaction.delete",
    "interactive.card.update",
    "ephemeral.send",
    "ephemeral.delete",
    "message.send",
    "cardkit.card",
]
"""Changes to messages and cards, and things said in other ways than by a message into a chat."""
MessageType = Literal[
    "text", "post", "image", "file", "audio", "media", "sticker", "interactive", "share_chat", "share_user"
]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a message goes: a receiver, or a message that is replied to."""

    kind: TargetKind
    id: str
    chat_id: str = ""
    """The chat it ends up in, where known: the limiter's key, and where a reply goes whose message was withdrawn."""
    in_thread: bool = False


def target_of(receiver: str) -> Target:
    """The target that a receiver's id names; HubError if it names none."""
    kinds: dict[str, TargetKind] = {"oc_": "chat_id", "ou_": "open_id", "on_": "union_id"}
    kind = kinds.get(receiver[:3]) or ("email" if "@" in receiver else None)
    if kind is None:
        raise HubError(f"{receiver!r} is no receiver: give a chat (oc_…), a person (ou_… or on_…) or an email address")
    return Target(kind, receiver, receiver if kind == "chat_id" else "")


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message to send; `content` is the JSON document as Feishu wants it, already a string."""

    target: Target
    msg_type: MessageType
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SendName:
    """Names the n-th send of an event to a target by an API: the same in every attempt, retry and fallback."""

    bot: str
    event: str
    """The event's dedup identity: the message id of a received message, else the event id."""
    replay: int
    api: str
    target: str
    n: int
    part: int = 0
    """Which of the messages, where the content was too long for one."""

    @property
    def field(self) -> str:
        """The name's field in the sent record."""
        return f"{self.replay}:{self.api}:{self.target}:{self._number}"

    @property
    def uuid(self) -> str:
        """Feishu's idempotency key, 40 characters (at most 50 are allowed)."""
        text = "\n".join((self.bot, self.event, str(self.replay), self.api, self.target, self._number))
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    @property
    def _number(self) -> str:
        return f"{self.n}.{self.part}" if self.part else str(self.n)


@dataclass(frozen=True, slots=True)
class Begun:
    """What the sent record held when a send was begun."""

    message_id: str | None = None
    """Set when it was sent before; may be empty, where Feishu answered a repeated uuid without it."""
    since: float | None = None
    """Set when an earlier attempt began then (seconds since the epoch) and its outcome is not known."""


class Ledger(Protocol):
    """The sent record of one event; every call raises Fenced when the event's claim was lost."""

    async def begin(self, name: SendName) -> Begun:
        """Note that a send is about to happen, or learn that it happened."""
        ...

    async def record(self, name: SendName, message_id: str) -> None:
        """Note that it happened."""
        ...

    async def forget(self, name: SendName) -> None:
        """Note that it certainly did not happen, so that it may be tried again at any time."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A card that types, as an attempt finds it."""

    turn: int
    """How many attempts have opened it, this one included: a later one overrides all before it."""
    card_id: str | None = None
    """The card entity that an earlier attempt made; empty where CardKit was not available."""


class CardLedger(Ledger, Protocol):
    """A sent record that knows of cards that type."""

    async def open(self, name: SendName) -> Opened:
        """Count one more attempt at a card; its entity's id is recorded under the same name."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that Feishu took; `message_id` may be empty (see Begun)."""

    message_id: str
    chat_id: str = ""
    repeated: bool = False
    """True when the send had happened before and was not repeated."""
