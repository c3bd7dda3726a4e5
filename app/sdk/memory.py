"""The verbs in memory: what a bot does is written down, nothing leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.core.clock import Clock
from app.core.errors import FeishuRefused, HubError
from app.model.event import Event
from app.sdk.content import Content, Markdown, message_of
from app.sdk.memory_cache import MemoryCache
from app.sdk.verbs import DownloadKind, UploadKind

Shown = str | dict[str, Any]
"""Text and markdown as they are; anything else as the `content` that Feishu would get."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that the bot said."""

    chat_id: str
    content: Shown
    message_id: str
    reply_to: str = ""
    in_thread: bool = False
    later: bool = False
    """Whether it was put on the outbox; its id is then that of the outbox."""


@dataclass(frozen=True, slots=True)
class Updated:
    """A message that the bot replaced."""

    message_id: str
    content: Shown


@dataclass(frozen=True, slots=True)
class Reaction:
    """An emoji that the bot added to a message."""

    message_id: str
    emoji: str


@dataclass(frozen=True, slots=True)
class Upload:
    """What the bot uploaded."""

    name: str
    kind: UploadKind
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reminder:
    """What the bot put off: a function of its own, or something to say."""

    id: str
    delay: float
    """Seconds."""
    handler: str
    data: Any
    shown: Shown | None
    content: Content | None
    chat_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class TaskSaid:
    """What the bot said last of a task."""

    status: str
    progress: float | None
    note: str | None


def _no_call(request: Any) -> Any:
    raise LookupError(f"no answer is set for {type(request).__name__}: BotTest(bot, on_call=lambda request: …)")


class Memory:
    """All that one BotTest's bot did, and its state; kept over events."""

    def __init__(self, clock: Clock, on_call: Callable[[Any], Any] | None) -> None:
        self.replies: list[SentMessage] = []
        self.sent: list[SentMessage] = []
        self.updates: list[Updated] = []
        self.reactions: list[Reaction] = []
        self.uploads: list[Upload] = []
        self.calls: list[Any] = []
        self.files: dict[str, bytes] = {}
        self.profiles: dict[str, Mapping[str, Any]] = {}
        self.state: dict[tuple[str, str], tuple[bytes, float | None]] = {}
        self.tasks: dict[str, TaskSaid] = {}
        self.reminders: list[Reminder] = []
        self.cache = MemoryCache(clock)
        self.clock = clock
        self.on_call = on_call or _no_call

    def verbs(self, event: Event | None) -> MemoryVerbs:
        """The verbs of one event."""
        return MemoryVerbs(self, event)


class MemoryVerbs:
    """`Verbs` of one event; ids are `om_bot_1`, `om_bot_2`, …, keys `key_1`, …"""

    def __init__(self, memory: Memory, event: Event | None) -> None:
        self._memory = memory
        self._event = event

    async def reply(self, content: Content, *, in_thread: bool = False) -> str:
        said = self._reply(_shown(content), in_thread)
        self._memory.replies.append(said)
        return said.message_id

    async def send(self, chat_id: str, content: Content, *, later: bool = False) -> str:
        said = SentMessage(chat_id, _shown(content), self._next_id(), later=later)
        self._memory.sent.append(said)
        return said.message_id

    def stream(self, title: str, *, chat_id: str = "", in_thread: bool = False) -> MemoryTyping:
        if chat_id:
            return MemoryTyping(self._memory.sent, SentMessage(chat_id, "", self._next_id()))
        return MemoryTyping(self._memory.replies, self._reply("", in_thread))

    async def later(self, delay: float, *, handler: str = "", data: Any = None, content: Content | None = None) -> str:
        self._check_write()
        assert self._event is not None
        number = len(self._memory.reminders) + 1
        said = None if content is None else _shown(content)
        kept = json.loads(json.dumps(data))
        place = self._event.chat_id, self._event.user_id
        self._memory.reminders.append(Reminder(f"later_{number}", delay, handler, kept, said, content, *place))
        return f"later_{number}"

    async def update(self, message_id: str, content: Content) -> None:
        self._memory.updates.append(Updated(message_id, _shown(content)))

    async def react(self, emoji: str, message_id: str | None = None) -> str:
        self._memory.reactions.append(Reaction(message_id or self._message_id(), emoji))
        return f"reaction_{len(self._memory.reactions)}"

    async def upload(self, data: bytes | Path, name: str, kind: UploadKind) -> str:
        content = data.read_bytes() if isinstance(data, Path) else data  # noqa: ASYNC240 - a test's own small file
        self._memory.uploads.append(Upload(name, kind, content))
        key = f"key_{len(self._memory.uploads)}"
        self._memory.files[key] = content
        return key

    async def download(self, key: str, kind: DownloadKind, message_id: str | None = None) -> bytes:
        if key not in self._memory.files:
            raise LookupError(f"no file {key!r}: set it before, as test.files[{key!r}] = b'…'")
        return self._memory.files[key]

    async def call(self, request: Any) -> Any:
        self._memory.calls.append(request)
        return self._memory.on_call(request)

    async def chat_info(self, chat_id: str) -> Mapping[str, Any] | None:
        return self._memory.profiles.get(chat_id)

    async def user_info(self, open_id: str) -> Mapping[str, Any] | None:
        return self._memory.profiles.get(open_id)

    async def state_get(self, scope: str, key: str) -> bytes | None:
        value, until = self._memory.state.get((scope, key), (None, None))
        return None if until is not None and until <= self._memory.clock.now() else value

    async def state_set(self, scope: str, key: str, value: bytes, ttl: float | None = None) -> None:
        self._check_write()
        until = None if ttl is None else self._memory.clock.now() + ttl
        self._memory.state[scope, key] = (value, until)

    async def state_delete(self, scope: str, key: str) -> None:
        self._check_write()
        self._memory.state.pop((scope, key), None)

    async def state_change(
        self,
        scope: str,
        key: str,
        change: Callable[[bytes | None], bytes | None],
        ttl: float | None = None,
        *,
        keep_ttl: bool = False,
    ) -> bool:
        self._check_write()
        before = await self.state_get(scope, key)
        after = change(before)
        if after is None:
            return False
        if before is not None and keep_ttl:
            ttl = await self.state_ttl(scope, key)
        await self.state_set(scope, key, after, ttl)
        return True

    async def state_ttl(self, scope: str, key: str) -> float | None:
        _, until = self._memory.state.get((scope, key), (None, None))
        left = None if until is None else until - self._memory.clock.now()
        return left if left is not None and left > 0 else None

    async def task_update(self, task: str, status: str, progress: float | None, note: str | None, keep: float) -> None:
        self._check_write()
        before = self._memory.tasks.get(task, TaskSaid("", None, None))
        self._memory.tasks[task] = TaskSaid(
            status, before.progress if progress is None else progress, before.note if note is None else note
        )

    @property
    def cache(self) -> MemoryCache:
        return self._memory.cache

    def _reply(self, shown: Shown, in_thread: bool) -> SentMessage:
        chat, target = (self._event.chat_id, self._event.message_id) if self._event else ("", "")
        if self._event is not None and self._event.is_callback:
            target = ""  # its message is the bot's own card: what is said goes to the chat
        return SentMessage(chat, shown, self._next_id(), reply_to=target, in_thread=in_thread)

    def _message_id(self) -> str:
        if self._event is None or not self._event.message_id:
            raise HubError("this event is of no message: give the message_id of the one that is meant")
        return self._event.message_id

    def _check_write(self) -> None:
        if self._event is None:
            raise HubError("state, tasks and reminders need an event that is handled: not in on_start or on_stop")

    def _next_id(self) -> str:
        return f"om_bot_{len(self._memory.replies) + len(self._memory.sent) + 1}"


class MemoryTyping:
    """`Typing` into a list, where the card stands from its beginning with all that is written."""

    def __init__(self, said: list[SentMessage], message: SentMessage) -> None:
        self._said = said
        self._message = message
        self._place = 0
        self._text = ""

    @property
    def message_id(self) -> str:
        return self._message.message_id

    def begin(self) -> None:
        self._place = len(self._said)
        self._said.append(self._message)

    def write(self, text: str) -> None:
        self._text += text
        self._said[self._place] = replace(self._message, content=self._text)

    async def end(self, error: BaseException | None) -> None:
        pass


def _shown(content: Content) -> Shown:
    """What Feishu would be sent; through JSON, so that what is not JSON fails here as it would there."""
    text = content.text if isinstance(content, Markdown) else content
    if text == "":
        raise FeishuRefused("an empty text cannot be sent: return None to say nothing")
    _, document = message_of(content)
    sent: dict[str, Any] = json.loads(json.dumps(document))
    return text if isinstance(text, str) else sent
