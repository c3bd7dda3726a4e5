"""`BotTest`: feeds a bot events and shows what it does, in memory, without Redis and without Feishu."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HandlerTimeout
from app.core.logs import get_logger
from app.model.event import Event
from app.model.schedule import TIME_ZONE
from app.sdk.answer import Done, Outcome, run_handler, run_hook
from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.cron_tick import CronTick, cron_event
from app.sdk.kept_content import kept
from app.sdk.me import Me
from app.sdk.memory import Memory, Reaction, Reminder, SentMessage, Shown, TaskSaid, Updated, Upload
from app.sdk.samples import card_event, message_event, other_event, preview_event
from app.sdk.schedules import started
from app.sdk.subject import subject_of

CHAT = "oc_test"
USER = "ou_user"


class BotTest:
    """A bot under test; state and records are kept from event to event.

    `async with BotTest(bot) as test` runs the bot's on_start and on_stop too. A handler's errors come through, and
    a handler over `timeout` seconds raises HandlerTimeout; `outcome` says how the last event ended.
    """

    def __init__(
        self,
        bot: Bot[Any],
        settings: BaseModel | Mapping[str, Any] | None = None,
        *,
        bot_id: str = "test",
        owners: tuple[str, ...] = (),
        timeout: float = 60.0,
        on_call: Callable[[Any], Any] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.bot = bot
        self.bot_id = bot_id
        self.me = Me(open_id="ou_bot", owners=owners, name="TestBot")
        self.settings = settings if isinstance(settings, BaseModel) else bot.read_settings(settings or {})
        self.timeout = timeout
        self.outcome: Outcome | None = None
        """Done, the Retry or Drop that was raised, or None: no handler took the event."""
        self._memory = Memory(clock, on_call)
        self._clock = clock
        self._events = 0

    async def message(
        self,
        text: str = "",
        *,
        chat: str = CHAT,
        user: str = USER,
        group: bool = False,
        mention: bool = True,
        type: str = "text",
        content: Mapping[str, Any] | None = None,
        sender_type: str = "user",
        thread: str = "",
        message_id: str = "",
        attempt: int = 1,
    ) -> list[Shown]:
        """Write to the bot, in private or (mentioning it, unless told otherwise) in a group; what it replied.

        Other messages than text have a `type` and a `content`, as `{"image_key": "…"}`. The same `message_id` again
        is the same message, handed over once more after a crash.
        """
        event = message_event(
            self._next(),
            self.me,
            kind=type,
            content={"text": text} if content is None else content,
            chat=chat,
            user=user,
            group=group,
            mention=mention,
            sender_type=sender_type,
            thread=thread,
            message_id=message_id,
        )
        return await self._replies_to(event, attempt)

    async def event(self, type: str, body: Mapping[str, Any], *, attempt: int = 1) -> list[Shown]:
        """Let something else happen, with the `event` part that Feishu documents; what the bot replied."""
        return await self._replies_to(other_event(self._next(), type, body), attempt)

    async def card(
        self,
        name: str,
        value: Mapping[str, Any] | str | None = None,
        *,
        form: Mapping[str, Any] | None = None,
        input: str = "",
        options: tuple[str, ...] = (),
        chat: str = CHAT,
        user: str = USER,
        message_id: str = "om_card",
    ) -> dict[str, Any]:
        """Press the button whose action is `name`; the answer that Feishu would get, `{}` for none."""
        action: dict[str, Any] = {"tag": "button"}
        if isinstance(value, str):
            action |= {"name": name, "value": value}
        else:
            action["value"] = {**(value or {}), "action": name}
        if form is not None:
            action |= {"name": name, "form_value": form}
        if input:
            action["input_value"] = input
        if options:
            action["options"] = list(options)
        event = card_event(self._next(), action, chat=chat, user=user, message_id=message_id)
        return await self._answer_to(event)

    async def click(
        self,
        card: Shown,
        action: str,
        *,
        form: Mapping[str, Any] | None = None,
        chat: str = CHAT,
        user: str = USER,
    ) -> dict[str, Any]:
        """Press a button of a card that the bot sent, with the value it has there; LookupError if it has none."""
        values = {str(value.get("action")): value for value in _buttons(card)}
        if action not in values:
            raise LookupError(f"no button of the card has the action {action!r}; it has {sorted(values)}")
        return await self.card(action, values[action], form=form, chat=chat, user=user)

    async def preview(self, url: str, *, chat: str = CHAT, user: str = USER) -> dict[str, Any]:
        """Let a link be seen; the answer that Feishu would get, `{}` for none."""
        return await self._answer_to(preview_event(self._next(), url, chat=chat, user=user))

    async def cron(self, name: str, *, at: datetime | None = None, chat: str = "") -> list[Shown]:
        """Let the schedule of the function `name` be due (now, or `at`); what the bot sent."""
        schedules = {one.name: one for one in self.bot.crons}
        if name not in schedules:
            raise LookupError(f"the bot has no schedule {name!r}; it has {sorted(schedules)}")
        due = self._clock.now() if at is None else at.timestamp()
        tz = schedules[name].tz
        return await self._sent_by(cron_event(self.bot_id, "cli_test", name, due, tz=tz, chat_id=chat))

    async def remind(self, number: int = -1) -> list[Shown]:
        """Let a reminder of `ctx.later` be due, by default the last one made; what the bot sent."""
        one = self._memory.reminders[number]
        more = {"data": one.data} if one.content is None else {"say": kept(one.content)}
        due = self._clock.now()
        place = {"chat_id": one.chat_id, "user_id": one.user_id}
        event = cron_event(self.bot_id, "cli_test", one.handler, due, tz=TIME_ZONE, id=one.id, **place, more=more)
        sent = await self._sent_by(event)
        if self.outcome is None:
            raise LookupError(f"the bot has no @bot.cron function {one.handler!r}")
        return sent

    @property
    def replies(self) -> list[SentMessage]:
        """All that was replied, returned or by `ctx.reply`."""
        return self._memory.replies

    @property
    def sent(self) -> list[SentMessage]:
        """All that `ctx.send` sent."""
        return self._memory.sent

    @property
    def updates(self) -> list[Updated]:
        return self._memory.updates

    @property
    def reactions(self) -> list[Reaction]:
        return self._memory.reactions

    @property
    def uploads(self) -> list[Upload]:
        return self._memory.uploads

    @property
    def calls(self) -> list[Any]:
        """Requests that `ctx.call` made; `on_call` answers them."""
        return self._memory.calls

    @property
    def reminders(self) -> list[Reminder]:
        """What `ctx.later` put off; `remind` lets one be due."""
        return self._memory.reminders

    @property
    def tasks(self) -> Mapping[str, TaskSaid]:
        """What the bot said last of each task, by id."""
        return self._memory.tasks

    @property
    def files(self) -> dict[str, bytes]:
        """What `ctx.download` finds, by key; uploads are there too."""
        return self._memory.files

    @property
    def profiles(self) -> dict[str, Mapping[str, Any]]:
        """What `ctx.chat_info` and `ctx.user_info` find, by id."""
        return self._memory.profiles

    async def __aenter__(self) -> Self:
        for hook in self.bot.start_hooks:
            await run_hook(hook, self._context(None, 1))
        return self

    async def __aexit__(self, *_: object) -> None:
        for hook in self.bot.stop_hooks:
            await run_hook(hook, self._context(None, 1))

    def _next(self) -> int:
        self._events += 1
        return self._events

    async def _sent_by(self, event: Event) -> list[Shown]:
        before = len(self._memory.sent)
        await self._handle(event, 1)
        return [one.content for one in self._memory.sent[before:]]

    async def _replies_to(self, event: Event, attempt: int) -> list[Shown]:
        before = len(self._memory.replies)
        await self._handle(event, attempt)
        return [one.content for one in self._memory.replies[before:]]

    async def _answer_to(self, event: Event) -> dict[str, Any]:
        outcome = await self._handle(event, 1)
        return outcome.answer if isinstance(outcome, Done) else {}

    async def _handle(self, event: Event, attempt: int) -> Outcome | None:
        self.outcome = None
        subject = subject_of(event, self.me)
        found = started(self.bot, subject, {}) if isinstance(subject, CronTick) else self.bot.find(subject, self.me)
        if found is None:
            return None
        ctx = self._context(event, attempt)
        limit = asyncio.timeout(self.timeout)
        try:
            async with limit:
                self.outcome = await run_handler(self.bot, found, ctx)
        except TimeoutError:
            if not limit.expired():
                raise
            raise HandlerTimeout(f"handler {found.handler.name} took longer than {self.timeout:g} s") from None
        finally:
            ctx.refuse(HandlerTimeout("this attempt is over: verbs can be used only until the handler returned"))
        return self.outcome

    def _context(self, event: Event | None, attempt: int) -> Context[Any]:
        until = self._clock.now() + self.timeout
        return Context(
            self._memory.verbs(event),
            self.settings,
            get_logger("bot").bind(bot=self.bot_id),
            bot_id=self.bot_id,
            event=event,
            attempt=attempt,
            deadline=lambda: until,
            clock=self._clock,
        )


def _buttons(part: Any) -> Iterator[Mapping[str, Any]]:
    """The callback values of all buttons in a card's JSON, however deep."""
    if isinstance(part, Mapping):
        if part.get("tag") == "button":
            yield from (one["value"] for one in part.get("behaviors", ()) if one.get("type") == "callback")
        for inner in part.values():
            yield from _buttons(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _buttons(inner)
