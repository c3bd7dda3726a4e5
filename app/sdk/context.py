"""What a handler is given beside its event: the verbs, the state, the settings, the clock of its attempt."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import Misused
from app.core.values import parse_span
from app.model.event import Event
from app.sdk.cache import Cache
from app.sdk.content import Content, message_of
from app.sdk.state import State
from app.sdk.stream import CardStream
from app.sdk.task import Task
from app.sdk.verbs import DownloadKind, UploadKind, Verbs

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

S_co = TypeVar("S_co", bound=BaseModel, default=BaseModel, covariant=True)


def _never() -> float:
    return float("inf")


class Context(Generic[S_co]):
    """One attempt at one event; `Context[Settings]` knows the type of `ctx.settings`.

    The verbs are plain functions that give coroutines, so that a refusal is raised at the call, even in code
    that cannot await.
    """

    def __init__(
        self,
        verbs: Verbs,
        settings: S_co,
        log: FilteringBoundLogger,
        *,
        bot_id: str,
        event: Event | None,
        attempt: int = 1,
        deadline: Callable[[], float] = _never,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.settings = settings
        self.log = log
        self.bot_id = bot_id
        self.event = event
        """None in `on_start` and `on_stop`."""
        self.attempt = attempt
        """1 for the first attempt, counted over all workers."""
        self._verbs = verbs
        self._deadline = deadline
        self._clock = clock
        self._refusal: Exception | None = None

    @property
    def deadline(self) -> float:
        """When this attempt is stopped, in seconds since the epoch; waiting for a send slot moves it."""
        return self._deadline()

    @property
    def seconds_left(self) -> float:
        """Seconds left of this attempt."""
        return max(0.0, self._deadline() - self._clock.now())

    @property
    def state(self) -> State:
        """What the bot remembers, for each chat, for each user, and for itself."""
        self._allowed()
        chat_id, user_id = (self.event.chat_id, self.event.user_id) if self.event else ("", "")
        return State(self._allowed, chat_id=chat_id, user_id=user_id)

    @property
    def cache(self) -> Cache:
        """What the bot keeps at hand for a while: from memory, else Redis, else loaded; losing it costs nothing."""
        return self._allowed().cache

    def task(self, id: str) -> Task:
        """A long job that operators can follow; made by its first update. ValueError for an id that cannot be one."""
        return Task(self._allowed, id)

    def reply(self, content: Content, *, in_thread: bool = False) -> Coroutine[Any, Any, str]:
        """Answer where the event came from; gives the message id, which may be empty (see docs/bots.md)."""
        verbs = self._allowed()
        self._check_somebody_asked()
        return verbs.reply(content, in_thread=in_thread)

    def send(self, chat_id: str, content: Content, *, later: bool = False) -> Coroutine[Any, Any, str]:
        """Send to a chat (`oc_…`) or a person (`ou_…`, `on_…`, email); gives the message id, may be empty.

        With `later=True` it is put on the outbox instead of being sent at once; gives its id there.
        """
        verbs = self._allowed()
        _check_receiver(chat_id)
        return verbs.send(chat_id, content, later=later)

    def stream(self, title: str = "", *, chat_id: str = "", in_thread: bool = False) -> CardStream:
        """A card that types: `async with ctx.stream() as card: await card.write(token)`.

        It replies where the event came from, or is sent to `chat_id`.
        """
        verbs = self._allowed()
        if chat_id:
            _check_receiver(chat_id)
        else:
            self._check_somebody_asked()
        return CardStream(lambda: verbs.stream(title, chat_id=chat_id, in_thread=in_thread), self._allowed)

    def later(
        self, delay: float | str, what: Content | Callable[..., Any], data: Any = None
    ) -> Coroutine[Any, Any, str]:
        """Say something here, or run one of the bot's `@bot.cron` functions, after a span (`30m`); gives an id.

        It happens once, after restarts too, however often this handler runs. The function finds `data`, any JSON
        value, in `tick.data`, and the chat of now in `tick.chat_id`.
        """
        verbs = self._allowed()
        span = parse_span(delay)
        if not callable(what):
            if data is not None:
                raise Misused("data is for a function: ctx.later(delay, function, data)")
            if self.event is None or not (self.event.chat_id or self.event.user_id):
                raise Misused("there is nobody to say it to here: give ctx.later a @bot.cron function")
            message_of(what)  # what cannot be said is better known now than when it is due
            return verbs.later(span, content=what)
        return verbs.later(span, handler=what.__name__, data=data)

    def update(self, message_id: str, content: Content) -> Coroutine[Any, Any, None]:
        """Replace a message of the bot's own: cards for 14 days, texts and posts at most 20 times."""
        return self._allowed().update(message_id, content)

    def react(self, emoji: str, message_id: str | None = None) -> Coroutine[Any, Any, str]:
        """Add a reaction (`OK`, `THUMBSUP`, …) to a message, by default the event's; its id."""
        return self._allowed().react(emoji, message_id)

    def upload(self, data: bytes | Path, name: str = "file", kind: UploadKind = "stream") -> Coroutine[Any, Any, str]:
        """Upload an image (10 MB) or a file (30 MB); gives the key for `Image` or `File`."""
        return self._allowed().upload(data, name, kind)

    def download(
        self, key: str, kind: DownloadKind = "file", message_id: str | None = None
    ) -> Coroutine[Any, Any, bytes]:
        """Fetch what a message, by default the event's, carries (`message.content["file_key"]`)."""
        return self._allowed().download(key, kind, message_id)

    def call(self, request: Any) -> Coroutine[Any, Any, Any]:
        """Make any Feishu call, given as a lark-oapi request object, with the hub's tokens and limits."""
        return self._allowed().call(request)

    def chat_info(self, chat_id: str = "") -> Coroutine[Any, Any, Mapping[str, Any] | None]:
        """What Feishu says of a chat, by default the event's (`name`, `chat_mode`, …); None if it is out of reach."""
        verbs = self._allowed()
        chat_id = chat_id or (self.event.chat_id if self.event else "")
        if not chat_id:
            raise Misused("this event is of no chat: use ctx.chat_info(chat_id)")
        return verbs.chat_info(chat_id)

    def user_info(self, open_id: str = "") -> Coroutine[Any, Any, Mapping[str, Any] | None]:
        """What Feishu says of a person, by default who caused the event (`name`, …); None if out of the app's reach."""
        verbs = self._allowed()
        open_id = open_id or (self.event.user_id if self.event else "")
        if not open_id:
            raise Misused("nobody caused this event: use ctx.user_info(open_id)")
        return verbs.user_info(open_id)

    def refuse(self, error: Exception) -> None:
        """Have every verb raise `error` from now on: this attempt is over, or its code cannot await."""
        self._refusal = error

    def without_verbs(self) -> Context[S_co]:
        """The same for a plain `def`, which runs in a thread and may only return."""
        twin = Context(
            self._verbs,
            self.settings,
            self.log,
            bot_id=self.bot_id,
            event=self.event,
            attempt=self.attempt,
            deadline=self._deadline,
            clock=self._clock,
        )
        twin.refuse(Misused("a plain def handler may only return: make it `async def` to use ctx verbs"))
        return twin

    def _allowed(self) -> Verbs:
        if self._refusal is not None:
            raise self._refusal
        return self._verbs

    def _check_somebody_asked(self) -> None:
        if self.event is None or not (self.event.message_id or self.event.chat_id or self.event.user_id):
            raise Misused("there is nobody to reply to here: use ctx.send(chat_id, …), or ctx.stream(chat_id=…)")


def _check_receiver(chat_id: str) -> None:
    if not chat_id.startswith(("oc_", "ou_", "on_")) and "@" not in chat_id:
        raise ValueError(f"{chat_id!r} is no receiver: give a chat (oc_…), a person (ou_…, on_…) or an email")
