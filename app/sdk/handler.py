"""A handler as the author declared it, and a handler found for an event."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from app.model.schedule import Missed
from app.sdk.filters import Filter
from app.sdk.subject import Subject

Kind = Literal["command", "message", "event", "card", "preview", "cron", "error"]


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


@dataclass(frozen=True, slots=True)
class Found:
    """The handler of an event, and the event as that handler is given it."""

    handler: Handler
    argument: Subject


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await; sees through functools.wraps."""
    return inspect.iscoroutinefunction(inspect.unwrap(function))


def check_parameters(function: object, count: int, wanted: str, usage: str) -> None:
    """Refuse what could never be called, while the file is imported; TypeError names function and line."""
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"{usage} decorates a function, not {function!r}")
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        code = getattr(inspect.unwrap(function), "__code__", None)
        where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        name = getattr(function, "__name__", repr(function))
        raise TypeError(f"{usage}: {name}{where} must take {wanted}") from None
