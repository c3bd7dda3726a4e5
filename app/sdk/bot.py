"""`Bot`: collects an author's handlers and finds the one for an event; pure data, no input or output."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic, get_args, overload

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar

from app.core.errors import Fenced, HubError, Misused
from app.model.event import CALLBACK_TYPES, MESSAGE_TYPE
from app.model.schedule import TIME_ZONE, Missed, check_cron, time_zone
from app.sdk.card_action import CardAction
from app.sdk.context import Context
from app.sdk.cron_tick import CronTick
from app.sdk.decorators import Answers, N, Previews, Rescues, Says, Works
from app.sdk.feishu_event import FeishuEvent
from app.sdk.filters import Filter, compiled, groups_of
from app.sdk.handler import Found, Handler, Kind, check_parameters, is_async, where
from app.sdk.me import Me
from app.sdk.message import Message
from app.sdk.outcomes import Drop, Retry
from app.sdk.preview import Preview
from app.sdk.subject import Subject

S = TypeVar("S", bound=BaseModel, default=BaseModel)
E = TypeVar("E", bound=Exception)
F = TypeVar("F", bound=Exception)


class NoSettings(BaseModel):
    """The settings of a bot that declares none: anything under `settings:` is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Bot(Generic[S]):
    """The handlers of one file in bots/; the loader takes the file's attribute `bot`."""

    @overload
    def __init__(self: Bot[BaseModel]) -> None: ...
    @overload
    def __init__(self, settings_model: type[S]) -> None: ...
    def __init__(self, settings_model: Any = None) -> None:
        model = NoSettings if settings_model is None else settings_model
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            # Not the object itself: its values may be secrets.
            found = getattr(model, "__name__", f"an object of the class {type(model).__name__}")
            raise Misused(f"Bot(Settings) takes a class derived from pydantic's BaseModel, not {found}")
        self.settings_model: type[BaseModel] = model
        """What `settings:` in config.yaml is checked against."""
        self._handlers: list[Handler] = []
        self._start_hooks: list[Callable[..., Any]] = []
        self._stop_hooks: list[Callable[..., Any]] = []

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """All handlers, in the order written."""
        return tuple(self._handlers)

    @property
    def crons(self) -> tuple[Handler, ...]:
        """The handlers that a schedule starts."""
        return tuple(one for one in self._handlers if one.kind == "cron")

    @property
    def start_hooks(self) -> tuple[Callable[..., Any], ...]:
        return tuple(self._start_hooks)

    @property
    def stop_hooks(self) -> tuple[Callable[..., Any], ...]:
        return tuple(self._stop_hooks)

    def command(self, name: str, *, help: str = "") -> Says[Message, S]:
        """Take messages that begin with `name`, with or without a slash; in a group also behind a mention.

        `help` is the line that `help_text()` shows.
        """
        _must_be_called("command", name)
        word = name.lstrip("/／")
        if not word or any(c.isspace() for c in word):
            raise Misused(f"@bot.command({name!r}): a command is one word, without spaces")
        return self._declare("command", word, help=help)

    def message(self, *filters: Filter) -> Says[Message, S]:
        """Take messages that meet all filters; without any, every message that no handler above took."""
        _must_be_called("message", *filters)
        for one in filters:
            if not isinstance(one, Filter):
                raise Misused(f'@bot.message() takes filters such as to_me or matches(r"…"), not {one!r}')
        return self._declare("message", "", filters=filters)

    def event(self, type: str) -> Says[FeishuEvent, S]:
        """Take Feishu events of a type (`im.chat.member.bot.added_v1`); what it returns goes to their chat."""
        _must_be_called("event", type)
        if type == MESSAGE_TYPE or type in CALLBACK_TYPES:
            raise Misused(f"@bot.event({type!r}): @bot.message, @bot.card or @bot.preview takes these")
        return self._declare("event", type)

    def card(self, name: str) -> Answers[CardAction, S]:
        """Take what people do on cards, by the component's name or the `action` in its value.

        The answer (a Toast, a Card that replaces the one pressed, or both) should be there within 2.5 s; a later
        one still arrives, by another way.
        """
        _must_be_called("card", name)
        return self._declare("card", name)

    def preview(self, *patterns: str | re.Pattern[str]) -> Previews[Preview, S]:
        """Take links in whose address one of the regular expressions is found; without any, all links."""
        _must_be_called("preview", *patterns)
        return self._declare("preview", "", patterns=tuple(compiled(one, "@bot.preview") for one in patterns))

    def cron(self, expr: str = "", *, tz: str = TIME_ZONE, missed: Missed = "skip") -> Works[CronTick, S]:
        """Run by a schedule (`0 9 * * 1-5`), once in the cluster.

        Firings missed in an outage are skipped, or made up for by one (`missed="once"`). Without an expression it runs
        only where `schedules:` in config.yaml names it, and by `ctx.later`.
        """
        _must_be_called("cron", expr)
        try:
            time_zone(tz)
            check_cron(expr or "* * * * *")
            if missed not in get_args(Missed):
                raise ValueError(f"missed is skip or once, not {missed!r}")
        except ValueError as error:
            raise Misused(f"@bot.cron({expr!r}): {error}") from None
        return self._declare("cron", "", expr=expr, tz=tz, missed=missed)

    @overload
    def error(self) -> Rescues[Exception, S]: ...
    @overload
    def error(self, one: type[E], /) -> Rescues[E, S]: ...
    @overload
    def error(self, one: type[E], other: type[F], /) -> Rescues[E | F, S]: ...
    @overload
    def error(self, *types: type[Exception]) -> Rescues[Exception, S]: ...
    def error(self, *types: type[Any]) -> Any:
        """Take errors that handlers raise (without types: all); the event then counts as done.

        What it returns is said as the handler would have said it; on a card, text becomes an error toast. Errors
        of the hub that another attempt may heal (`retryable`) are taken only if a hub error is named.
        """
        _must_be_called("error", *types)
        for one in types:
            if not (isinstance(one, type) and issubclass(one, Exception)):
                raise Misused(f"@bot.error() takes exception types, not {one!r}")
        return self._declare("error", "", errors=types or (Exception,))

    def on_start(self, hook: Callable[[Context[S]], N]) -> Callable[[Context[S]], N]:
        """Run in every worker before the bot's first event there."""
        check_parameters(hook, "hook", "@bot.on_start")
        self._start_hooks.append(hook)
        return hook

    def on_stop(self, hook: Callable[[Context[S]], N]) -> Callable[[Context[S]], N]:
        """Run in every worker after the bot's last event there; not after a crash."""
        check_parameters(hook, "hook", "@bot.on_stop")
        self._stop_hooks.append(hook)
        return hook

    def read_settings(self, values: Mapping[str, Any]) -> BaseModel:
        """`settings:` of config.yaml as the bot's model; raises pydantic's ValidationError."""
        return self.settings_model.model_validate(values)

    def help_text(self) -> str:
        """The commands, a line each: their `help`, else their name."""
        commands = (one for one in self._handlers if one.kind == "command")
        return "\n".join(_help_line(one) for one in commands)

    def find(self, subject: Subject, me: Me) -> Found | None:
        """The first handler, in the order written, that takes the subject; None when none does."""
        for handler in self._handlers:
            argument = _taken(handler, subject, me)
            if argument is not None:
                return Found(handler, argument)
        return None

    def error_handler(self, error: Exception) -> Handler | None:
        """The first `@bot.error` for an error; never one for Retry, Drop or a lost claim."""
        if isinstance(error, Retry | Drop | Fenced):
            return None
        heals = isinstance(error, HubError) and error.retryable
        for handler in self._handlers:
            named = any(issubclass(one, HubError) for one in handler.errors)
            if handler.kind == "error" and isinstance(error, handler.errors) and (named or not heals):
                return handler
        return None

    def _declare(self, kind: Kind, name: str, **details: Any) -> Callable[[Any], Any]:
        usage = f"@bot.{kind}({name!r})" if name else f"@bot.{kind}"

        def decorate(function: Any) -> Any:
            check_parameters(function, kind, usage)
            handler = Handler(kind, name or function.__name__, function, is_async(function), **details)
            for other in self.crons if kind == "cron" else ():
                if other.name == handler.name and other.function is not function:
                    raise Misused(f"{usage}: two scheduled functions are named {handler.name}; rename one")
            for other in self._handlers:
                if other.hides(handler):
                    raise Misused(
                        f"{usage}: {function.__name__} can never run, since {where(other.function)} stands above it "
                        "and takes the same, or everything; remove one, or write this one above"
                    )
            self._handlers.append(handler)
            return function

        return decorate


def _must_be_called(kind: Kind, *arguments: object) -> None:
    if any(map(inspect.isfunction, arguments)):
        raise Misused(f"@bot.{kind} decorates nothing by itself: write @bot.{kind}(…) above the function")


def _taken(handler: Handler, subject: Subject, me: Me) -> Subject | None:
    match handler.kind, subject:
        case "command", Message():
            return subject.as_command(handler.name)
        case "message", Message():
            return _filtered(handler.filters, subject, me)
        case "card", CardAction():
            return subject if handler.name in subject.names else None
        case "preview", Preview():
            return _previewed(handler.patterns, subject)
        case "event", FeishuEvent():
            return subject if handler.name == subject.type else None
        case "cron", CronTick():
            return subject if handler.name == subject.name else None
    return None


def _filtered(filters: tuple[Filter, ...], message: Message, me: Me) -> Message | None:
    groups: dict[str, str] = {}
    for one in filters:
        caught = one.test(message, me)
        if caught is None:
            return None
        groups.update(caught)
    return replace(message, groups=groups) if groups else message


def _previewed(patterns: tuple[re.Pattern[str], ...], preview: Preview) -> Preview | None:
    for pattern in patterns:
        if found := pattern.search(preview.url):
            return replace(preview, groups=groups_of(found))
    return None if patterns else preview


def _help_line(handler: Handler) -> str:
    command = f"/{handler.name}"
    if not handler.help:
        return command
    return handler.help if handler.help.startswith(command) else f"{command}  {handler.help}"
