"""The record of everything that reached the playground, in order, which tests use as their judge."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from app.control.playground.world import App, Message

# A long load test must not eat the machine.
KEPT = 500_000

Outcome = Literal["answered", "half", "lost", "reset"]


@dataclass(eq=False, slots=True)
class Call:
    """One API call: who, what, to whom, and what became of it."""

    seq: int
    at: float
    """Seconds since the epoch, by the playground's clock."""
    instant: float
    """The same moment on the monotonic clock."""
    api: str
    app_id: str = ""
    target: str = ""
    """The receiver, message or card that was named in the request."""
    chat_id: str = ""
    uuid: str = ""
    message_id: str = ""
    msg_type: str = ""
    content: str = field(default="", repr=False)
    status: int = 0
    code: int = 0
    violation: str = ""
    repeated: bool = False
    """True where a known uuid was answered with the message of the first call."""
    outcome: Outcome = "answered"
    fault: str = ""

    @property
    def content_hash(self) -> str:
        """Short hash of the content, for comparing without reading."""
        return hashlib.blake2b(self.content.encode(), digest_size=8).hexdigest() if self.content else ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A user's message and an app's first reply to it; times are seconds on the monotonic clock."""

    app_id: str
    event_id: str
    message_id: str
    chat_id: str
    said: float
    acked: float | None
    reply_id: str | None
    replied: float | None

    @property
    def seconds(self) -> float | None:
        """From the user's message to the first reply; None where there is none yet."""
        return None if self.replied is None else self.replied - self.said


class Ledger:
    """Calls and accepted messages, in order of arrival, with the questions that tests ask of them."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque(maxlen=KEPT)
        self.accepted: deque[tuple[Call, Message]] = deque(maxlen=KEPT)
        self._seq = 0
        self._said: dict[tuple[str, str], tuple[str, str, float]] = {}
        self._acked: dict[tuple[str, str], float] = {}
        self._replied: dict[tuple[str, str], tuple[str, float]] = {}

    def open(self, api: str, at: float, instant: float) -> Call:
        """Note that a call came in; its fields are filled as they become known."""
        self._seq += 1
        call = Call(self._seq, at, instant, api)
        self.calls.append(call)
        return call

    def accept(self, call: Call, message: Message) -> None:
        """Note that a call made a message."""
        call.message_id = message.message_id
        call.chat_id = message.chat.chat_id
        self.accepted.append((call, message))
        if message.parent:
            self._replied.setdefault((call.app_id, message.parent), (message.message_id, call.instant))

    def said(self, app_id: str, event_id: str, message: Message, instant: float) -> None:
        """Note that a user's message became an event for an app."""
        self._said.setdefault((app_id, message.message_id), (event_id, message.chat.chat_id, instant))

    def acked(self, app_id: str, message_id: str, instant: float) -> None:
        """Note that the app's event about a user's message was answered 200 for the first time."""
        self._acked.setdefault((app_id, message_id), instant)

    def find(
        self,
        *,
        app: str | None = None,
        api: str | None = None,
        chat: str | None = None,
        uuid: str | None = None,
        code: int | None = None,
        since: int = 0,
    ) -> list[Call]:
        """Calls that fit every given filter; `since` is the sequence number after which to look."""
        return [
            call
            for call in self.calls
            if call.seq > since
            and (app is None or call.app_id == app)
            and (api is None or call.api == api)
            and (chat is None or call.chat_id == chat)
            and (uuid is None or call.uuid == uuid)
            and (code is None or call.code == code)
        ]

    def messages(self, chat: str | None = None, app: str | None = None) -> list[Message]:
        """Messages that apps sent and the playground took, in order."""
        return [
            message
            for call, message in self.accepted
            if (chat is None or message.chat.chat_id == chat) and (app is None or call.app_id == app)
        ]

    def texts(self, chat: str | None = None) -> list[str]:
        """The contents of `messages`, in order."""
        return [message.content for message in self.messages(chat)]

    def duplicates(self, by: Literal["uuid", "content", "reply"] = "uuid") -> list[list[Message]]:
        """Groups of accepted messages that share app and uuid; or app, chat and content; or app and parent."""
        keys: dict[str, Callable[[Call, Message], tuple[str, ...] | None]] = {
            "uuid": lambda call, message: (call.app_id, call.uuid) if call.uuid else None,
            "content": lambda call, message: (call.app_id, message.chat.chat_id, call.content),
            "reply": lambda call, message: (call.app_id, message.parent) if message.parent else None,
        }
        groups: dict[tuple[str, ...], list[Message]] = {}
        for call, message in self.accepted:
            key = keys[by](call, message)
            if key is not None:
                groups.setdefault(key, []).append(message)
        return [group for group in groups.values() if len(group) > 1]

    def violations(self) -> list[Call]:
        """Calls that were refused because a limit was broken."""
        return [call for call in self.calls if call.violation]

    def turns(self, chat: str | None = None) -> Iterator[Turn]:
        """Every user's message with the app's first reply to it, in the order they were said."""
        for (app_id, message_id), (event_id, chat_id, said) in list(self._said.items()):
            if chat is not None and chat != chat_id:
                continue
            reply_id, replied = self._replied.get((app_id, message_id), (None, None))
            acked = self._acked.get((app_id, message_id))
            yield Turn(app_id, event_id, message_id, chat_id, said, acked, reply_id, replied)

    def clear(self) -> None:
        """Forget everything (the messages themselves stay in their chats)."""
        self.calls.clear()
        self.accepted.clear()
        self._said.clear()
        self._acked.clear()
        self._replied.clear()


def call_document(call: Call) -> dict[str, Any]:
    """A call as JSON."""
    names: Iterable[str] = Call.__slots__
    return {name: getattr(call, name) for name in names} | {"content_hash": call.content_hash}


def message_document(message: Message) -> dict[str, Any]:
    """An accepted message as JSON."""
    sender = message.sender
    return {
        "message_id": message.message_id,
        "chat_id": message.chat.chat_id,
        "app_id": sender.app_id if isinstance(sender, App) else "",
        "user_id": "" if isinstance(sender, App) else sender.user_id,
        "msg_type": message.msg_type,
        "content": message.content,
        "uuid": message.uuid,
        "parent_id": message.parent,
        "thread_id": message.thread,
        "created": message.created,
        "seq": message.seq,
        "edits": message.edits,
        "recalled": message.recalled,
    }
