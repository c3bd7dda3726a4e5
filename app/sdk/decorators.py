"""The types of `Bot`'s decorators: what a handler takes and may return, checked before it ever runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from pydantic import BaseModel
from typing_extensions import TypeVar

from app.sdk.card import Card
from app.sdk.content import Content
from app.sdk.context import Context
from app.sdk.link import Link
from app.sdk.toast import Toast

Said: TypeAlias = Content | None
"""What is replied; None replies nothing."""
Answered: TypeAlias = Toast | Card | tuple[Toast, Card] | None
"""What a card's button is answered with; None changes nothing."""

T = TypeVar("T")
C = TypeVar("C", bound=BaseModel)

# Bounds instead of plain types: a decorated function keeps its own return type and can be called in a test. An
# `async def` gives an awaitable of it.
R = TypeVar("R", bound=Said | Awaitable[Said])
A = TypeVar("A", bound=Answered | Awaitable[Answered])
P = TypeVar("P", bound=Link | Awaitable[Link | None] | None)
N = TypeVar("N", bound=Awaitable[None] | None)
X = TypeVar("X", bound=Said | Answered | Awaitable[Said | Answered])


class Says(Protocol[T, C]):
    """Decorates what may reply."""

    def __call__(self, function: Callable[[T, Context[C]], R], /) -> Callable[[T, Context[C]], R]: ...


class Answers(Protocol[T, C]):
    """Decorates what answers an action on a card."""

    def __call__(self, function: Callable[[T, Context[C]], A], /) -> Callable[[T, Context[C]], A]: ...


class Previews(Protocol[T, C]):
    """Decorates what shows a link."""

    def __call__(self, function: Callable[[T, Context[C]], P], /) -> Callable[[T, Context[C]], P]: ...


class Works(Protocol[T, C]):
    """Decorates what returns nothing."""

    def __call__(self, function: Callable[[T, Context[C]], N], /) -> Callable[[T, Context[C]], N]: ...


class Rescues(Protocol[T, C]):
    """Decorates what stands in for a handler that failed."""

    def __call__(self, function: Callable[[T, Context[C]], X], /) -> Callable[[T, Context[C]], X]: ...
