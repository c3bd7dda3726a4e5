"""Handlers as authors declare them, the check for what could never run, and the one found for an event."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from app.core.errors import Misused
from app.model.schedule import Missed
from app.sdk.filters import Filter
from app.sdk.subject import Subject

Kind = Literal["command", "message", "event", "card", "preview", "cron", "error"]

_SUBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "command": ("message", "Message"),
    "message": ("message", "Message"),
    "event": ("event", "FeishuEvent"),
    "card": ("action", "CardAction"),
    "preview": ("preview", "Preview"),
    "cron": ("tick", "CronTick"),
    "error": ("error", "Exception"),
}
"""The first parameter of each kind of handler, name and type."""
_OF_THE_HUB: Final = frozenset({*(one.__name__ for one in get_args(Subject)), "Context"})


@dataclass(frozen=True, slots=True)
class Handler:
    """One decorated function and what it is for."""

    kind: Kind
    name: str
    """The command, event type, card action; else the function's own name."""
    function: Callable[..., Any] = field(repr=False)
    is_async: bool
    """False for a plain `def`, which runs in a thread and may only return."""
    help: str = ""
    filters: tuple[Filter, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    errors: tuple[type[Exception], ...] = ()
    expr: str = ""
    """Of a cron handler: the five fields, or nothing."""
    tz: str = ""
    missed: Missed = "skip"

    def hides(self, below: Handler) -> bool:
        """Whether a handler declared below can never be found, since this one takes everything that it could."""
        if self.kind == "message":
            return not self.filters and below.kind in ("message", "command")
        if self.kind != below.kind:
            return False
        match self.kind:
            case "command":
                return self.name.lower() == below.name.lower()
            case "event" | "card":
                return self.name == below.name
            case "preview":
                return not self.patterns
        return False


@dataclass(frozen=True, slots=True)
class Found:
    """The handler of an event, and the event as that handler is given it."""

    handler: Handler
    argument: Subject


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await; sees through functools.wraps."""
    return inspect.iscoroutinefunction(inspect.unwrap(function))


def check_parameters(function: object, kind: Kind | Literal["hook"], usage: str) -> None:
    """Refuse what could never be called, while the file is imported; Misused says what it must take."""
    if not callable(function) or isinstance(function, type):
        raise Misused(f"{usage} decorates a function, not {function!r}")
    wanted = dict([*([] if kind == "hook" else [_SUBJECTS[kind]]), ("ctx", "Context")])
    signature = inspect.signature(function)
    name = getattr(function, "__name__", repr(function))
    takes = ", ".join(f"{one}: {type_name}" for one, type_name in wanted.items())
    try:
        signature.bind(*wanted)
    except TypeError:
        count = "one parameter" if len(wanted) == 1 else "two parameters"
        raise Misused(f"{usage}: {name} must take {count}: ({takes})") from None
    declared = [_type_name(one.annotation) for one in signature.parameters.values()]
    for type_name, found in zip(wanted.values(), declared, strict=False):
        if found in _OF_THE_HUB and found != type_name:
            raise Misused(f"{usage}: {name} must take ({takes}), and has {found} where {type_name} is given")


def where(function: Callable[..., Any]) -> str:
    """A function by its name and where it stands."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    name = getattr(function, "__name__", repr(function))
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def _type_name(annotation: Any) -> str:
    """`Context` of `Context[Settings]`, and of the text "sdk.Context", where annotations are not evaluated."""
    if isinstance(annotation, str):
        return annotation.partition("[")[0].rpartition(".")[2]
    return getattr(getattr(annotation, "__origin__", annotation), "__name__", "")
