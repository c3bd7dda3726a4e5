"""Conditions on messages for `@bot.message(…)`, joined by `&`, `|` and `~`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from app.core.errors import Misused
from app.sdk.me import Me
from app.sdk.message import Message

Groups = Mapping[str, str]
_NO_GROUPS: Groups = {}


class Filter(ABC):
    """A condition: says no (None), or yes with what its groups caught."""

    __slots__ = ()

    @abstractmethod
    def test(self, message: Message, me: Me) -> Groups | None:
        """Whether the message meets the condition."""

    def __and__(self, other: Filter) -> Filter:
        return _Both(self, other)

    def __or__(self, other: Filter) -> Filter:
        return _Either(self, other)

    def __invert__(self) -> Filter:
        return _Not(self)

    def __bool__(self) -> bool:
        # Python's own `and` would quietly keep one of the two.
        raise Misused("filters are joined by & | ~, not by and, or, not")


@dataclass(frozen=True, slots=True)
class _Both(Filter):
    one: Filter
    other: Filter

    def test(self, message: Message, me: Me) -> Groups | None:
        first = self.one.test(message, me)
        second = None if first is None else self.other.test(message, me)
        return None if first is None or second is None else {**first, **second}


@dataclass(frozen=True, slots=True)
class _Either(Filter):
    one: Filter
    other: Filter

    def test(self, message: Message, me: Me) -> Groups | None:
        first = self.one.test(message, me)
        return self.other.test(message, me) if first is None else first


@dataclass(frozen=True, slots=True)
class _Not(Filter):
    one: Filter

    def test(self, message: Message, me: Me) -> Groups | None:
        return _NO_GROUPS if self.one.test(message, me) is None else None


@dataclass(frozen=True, slots=True)
class _ToMe(Filter):
    def test(self, message: Message, me: Me) -> Groups | None:
        return _NO_GROUPS if message.is_private or message.mentions_me else None


@dataclass(frozen=True, slots=True)
class _InPrivate(Filter):
    def test(self, message: Message, me: Me) -> Groups | None:
        return _NO_GROUPS if message.is_private else None


@dataclass(frozen=True, slots=True)
class _FromOwner(Filter):
    def test(self, message: Message, me: Me) -> Groups | None:
        return _NO_GROUPS if message.sender_id in me.owners else None


@dataclass(frozen=True, slots=True)
class _Matches(Filter):
    pattern: re.Pattern[str]

    def test(self, message: Message, me: Me) -> Groups | None:
        found = self.pattern.search(message.text)
        return None if found is None else groups_of(found)


to_me: Filter = _ToMe()
"""Said to the bot: in private, or mentioning it."""
in_private: Filter = _InPrivate()
"""Said in a private chat with the bot."""
in_group: Filter = ~in_private
"""Said in a group."""
from_owner: Filter = _FromOwner()
"""Said by one of `owners:` in config.yaml."""


def matches(pattern: str | re.Pattern[str]) -> Filter:
    """Text in which the pattern is found; its groups stand in `message.groups`."""
    return _Matches(compiled(pattern, "matches"))


def compiled(pattern: str | re.Pattern[str], usage: str) -> re.Pattern[str]:
    """A regular expression; Misused says what is wrong in it."""
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise Misused(f"{usage}({pattern!r}): no regular expression: {error}") from None


def groups_of(found: re.Match[str]) -> Groups:
    """The groups of a match: by name, those without a name by number; one that caught nothing is empty."""
    names = {number: name for name, number in found.re.groupindex.items()}
    return {names.get(number, str(number)): text or "" for number, text in enumerate(found.groups(), start=1)}
