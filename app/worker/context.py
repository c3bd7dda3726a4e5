"""The real verbs of one event: named sends under the event's claim, sealed state, and nothing after its end."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from app.channel.limiter import OnWait
from app.channel.outbox import Outbox, id_of, new_id
from app.channel.render import render
from app.channel.sender import Sender
from app.core.errors import HubError, StoreUnavailable
from app.model.bot import BotSpec
from app.model.event import Event
from app.model.outbound import Begun, CardLedger, Outbound, SendName, Target, target_of
from app.queue.ledger import Ledgers
from app.queue.tasks import Tasks, task_aad
from app.queue.work import Work
from app.sdk.content import Content
from app.sdk.stream import Typing
from app.sdk.verbs import DownloadKind, UploadKind
from app.storage.cache import BotCache, CacheTiers
from app.storage.cipher import Cipher
from app.worker.reminders import Reminders

CREATE: Final = "im.message.create"
REPLY: Final = "im.message.reply"
LATER: Final = "later"
"""Names what is put on the outbox, which is then sent under a name of its own."""
_MORE_TRIES: Final = 2
_BETWEEN_TRIES: Final = 0.1


@dataclass(frozen=True, slots=True)
class Means:
    """What the verbs of all events work with."""

    sender: Sender
    ledgers: Ledgers
    tasks: Tasks
    cache: CacheTiers
    outbox: Outbox
    reminders: Reminders


class EventVerbs:
    """Implements `app.sdk.verbs.Verbs` for one attempt; without `work` (in hooks) sends are not remembered."""

    def __init__(
        self,
        means: Means,
        spec: BotSpec,
        cipher: Cipher,
        event: Event | None,
        work: Work | None,
        origin: str,
        on_wait: OnWait | None = None,
    ) -> None:
        """`origin` names the sends: the event's dedup identity, or what a hook runs for.

        `on_wait` is called with the seconds of each wait for a send slot before it begins.
        """
        self._means = means
        self._spec = spec
        self._cipher = cipher
        self._event = event
        self._work = work
        self._origin = origin
        self._on_wait = on_wait
        self._ledger = _Patient(means.ledgers.of(work)) if work is not None else None
        self._sends: Counter[tuple[str, str]] = Counter()
        self._reminders = 0

    # -- saying --------------------------------------------------------------------------------------------

    async def reply(self, content: Content, *, in_thread: bool = False) -> str:
        assert self._event is not None  # the context refuses a reply in hooks
        return await self._send(_answer_target(self._event, in_thread), content)

    async def send(self, chat_id: str, content: Content, *, later: bool = False) -> str:
        target = target_of(chat_id)
        return await (self._put(target, content) if later else self._send(target, content))

    def stream(self, title: str, *, chat_id: str = "", in_thread: bool = False) -> Typing:
        assert chat_id or self._event is not None  # the context refuses a reply in hooks
        target = target_of(chat_id) if self._event is None or chat_id else _answer_target(self._event, in_thread)
        name = self._name(REPLY if target.kind == "reply" else CREATE, target)
        return self._means.sender.stream(self._spec, target, name, self._ledger, title, on_wait=self._on_wait)

    async def update(self, message_id: str, content: Content) -> None:
        msg_type, content_json = render(content)
        await self._means.sender.update(self._spec, message_id, msg_type, content_json, on_wait=self._on_wait)

    async def react(self, emoji: str, message_id: str | None = None) -> str:
        return await self._means.sender.react(self._spec, self._message(message_id), emoji, on_wait=self._on_wait)

    async def later(self, delay: float, *, handler: str = "", data: Any = None, content: Content | None = None) -> str:
        work = self._claimed()
        assert self._event is not None  # who has a claim has an event
        self._reminders += 1
        return await self._means.reminders.keep(
            self._spec,
            self._cipher,
            work,
            self._event,
            self._reminders,
            delay,
            handler=handler,
            data=data,
            content=content,
        )

    # -- files and everything else -------------------------------------------------------------------------

    async def upload(self, data: bytes | Path, name: str, kind: UploadKind) -> str:
        sender, on_wait = self._means.sender, self._on_wait
        if isinstance(data, Path):
            data = await asyncio.to_thread(data.read_bytes)
        if kind == "image":
            return await sender.upload_image(self._spec, data, on_wait=on_wait)
        return await sender.upload_file(self._spec, data, name, kind, on_wait=on_wait)

    async def download(self, key: str, kind: DownloadKind, message_id: str | None = None) -> bytes:
        return await self._means.sender.download(
            self._spec, self._message(message_id), key, kind, on_wait=self._on_wait
        )

    async def call(self, request: Any) -> Any:
        return await self._means.sender.call(self._spec, request, on_wait=self._on_wait)

    async def chat_info(self, chat_id: str) -> Mapping[str, Any] | None:
        return await self._means.sender.chat_info(self._spec, chat_id)

    async def user_info(self, open_id: str) -> Mapping[str, Any] | None:
        return await self._means.sender.user_info(self._spec, open_id)

    # -- remembering ---------------------------------------------------------------------------------------

    async def state_get(self, scope: str, key: str) -> bytes | None:
        place = _place(scope, key)
        sealed = await self._means.ledgers.state_get(self._spec.id, place)
        return None if sealed is None else self._cipher.open(sealed, _state_aad(place))

    async def state_set(self, scope: str, key: str, value: bytes, ttl: float | None = None) -> None:
        place = _place(scope, key)
        sealed = self._cipher.seal(value, _state_aad(place))
        await self._means.ledgers.state_set(self._claimed(), place, sealed, ttl)

    async def state_delete(self, scope: str, key: str) -> None:
        await self._means.ledgers.state_delete(self._claimed(), _place(scope, key))

    async def state_change(
        self,
        scope: str,
        key: str,
        change: Callable[[bytes | None], bytes | None],
        ttl: float | None = None,
        *,
        keep_ttl: bool = False,
    ) -> bool:
        work, place = self._claimed(), _place(scope, key)
        aad = _state_aad(place)
        seen = await self._means.ledgers.state_get(self._spec.id, place)
        while True:  # ends, since whoever got in between has made a change
            after = change(None if seen is None else self._cipher.open(seen, aad))
            if after is None:
                return False
            sealed = self._cipher.seal(after, aad)
            done, seen = await self._means.ledgers.state_swap(work, place, seen, sealed, ttl, keep_ttl=keep_ttl)
            if done:
                return True

    async def state_ttl(self, scope: str, key: str) -> float | None:
        return await self._means.ledgers.state_ttl(self._spec.id, _place(scope, key))

    async def task_update(self, task: str, status: str, progress: float | None, note: str | None, keep: float) -> None:
        sealed = b"" if note is None else self._cipher.seal(note.encode(), task_aad(task))
        await self._means.tasks.update(self._claimed(), task, status, progress, sealed, keep)

    @property
    def cache(self) -> BotCache:
        return self._means.cache.of(self._spec.id)

    # -- how -----------------------------------------------------------------------------------------------

    async def _send(self, target: Target, content: Content) -> str:
        name = self._name(REPLY if target.kind == "reply" else CREATE, target)
        sent = await self._means.sender.say(self._spec, target, content, name, self._ledger, on_wait=self._on_wait)
        return sent.message_id

    async def _put(self, target: Target, content: Content) -> str:
        pages = await self._means.sender.pages(self._spec, content, on_wait=self._on_wait)
        # Named like a send: a second attempt at the event finds its message there. A hook has no event, so what it says
        # is said at each start.
        name = self._name(LATER, target)
        names = [replace(name, part=number) for number in range(len(pages))]
        ids = [id_of(one.uuid) if self._work is not None else new_id() for one in names]
        for message_id, page in zip(ids, pages, strict=True):
            message = Outbound(target, page.msg_type, page.content)
            if await self._means.outbox.put(self._spec.id, message_id, message) == "full":
                raise StoreUnavailable(
                    f"the outbox of bot {self._spec.id} is full (outbox.max_waiting): see what holds it up"
                )
        return ids[0]

    def _name(self, api: str, target: Target) -> SendName:
        self._sends[api, target.id] += 1
        replay = self._work.entry.replay if self._work else 0
        return SendName(self._spec.id, self._origin, replay, api, target.id, self._sends[api, target.id])

    def _message(self, message_id: str | None) -> str:
        found = message_id or (self._event.message_id if self._event else "")
        if not found:
            raise HubError("this event is of no message: give the message_id of the one that is meant")
        return found

    def _claimed(self) -> Work:
        if self._work is None:
            raise HubError("state, tasks and reminders need an event that is handled: not in on_start or on_stop")
        return self._work


class _Patient:
    """A sent record that tries again before it gives up.

    While bot code blocks the loop for a second, calls under way time out; that must not make a handler run twice.
    """

    def __init__(self, ledger: CardLedger) -> None:
        self._ledger = ledger
        self.record = ledger.record
        self.forget = ledger.forget
        self.open = ledger.open

    async def begin(self, name: SendName) -> Begun:
        for _ in range(_MORE_TRIES):
            try:
                return await self._ledger.begin(name)
            except StoreUnavailable:
                await asyncio.sleep(_BETWEEN_TRIES)
        return await self._ledger.begin(name)


def _answer_target(event: Event, in_thread: bool) -> Target:
    # The message of a callback is the bot's own card: what it says goes to the chat.
    if event.message_id and not event.is_callback:
        return Target("reply", event.message_id, event.chat_id, in_thread)
    if event.chat_id:
        return Target("chat_id", event.chat_id, event.chat_id)
    return Target("open_id", event.user_id)


def _place(scope: str, key: str) -> str:
    """Where a value is kept: the author's key is hashed, since it may hold what people wrote."""
    return f"{scope}:{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"


def _state_aad(place: str) -> bytes:
    return b"state\n" + place.encode()
