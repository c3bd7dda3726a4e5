"""Filters: what each says, and what joins make of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.core.errors import Misused
from app.sdk.filters import Filter, from_owner, in_group, in_private, matches, to_me
from tests.unit.sdk.events import BOT_MENTION, ME, message


def takes(one: Filter, text: str = "hi", **details: Any) -> bool:
    return one.test(message(text, **details), ME) is not None


def test_to_me_is_private_or_mentioned() -> None:
    assert takes(to_me)
    assert takes(to_me, "@_user_1 hi", group=True, mentions=[BOT_MENTION])
    assert not takes(to_me, group=True)


def test_where() -> None:
    assert takes(in_private)
    assert not takes(in_private, group=True)
    assert takes(in_group, group=True)
    assert not takes(in_group)


def test_from_owner() -> None:
    assert takes(from_owner, sender="ou_boss")
    assert not takes(from_owner, sender="ou_0001")


def test_matches_looks_anywhere_and_gives_its_groups() -> None:
    got = matches(r"(?P<verb>buy|sell) (\d+)( now)?").test(message("please buy 5 apples"), ME)
    assert got == {"verb": "buy", "2": "5", "3": ""}
    assert matches(r"^5").test(message("buy 5"), ME) is None
    assert matches(re.compile("BUY", re.I)).test(message("buy 5"), ME) == {}


def test_and() -> None:
    assert takes(in_group & from_owner, group=True, sender="ou_boss")
    assert not takes(in_group & from_owner, group=True)
    assert not takes(in_group & from_owner, sender="ou_boss")


def test_and_joins_groups() -> None:
    assert (matches("(?P<a>x)") & matches("(?P<b>y)")).test(message("xy"), ME) == {"a": "x", "b": "y"}


def test_or_gives_the_groups_of_the_first_that_fits() -> None:
    either = matches("(?P<a>x)") | matches("(?P<b>y)")
    assert either.test(message("xy"), ME) == {"a": "x"}
    assert either.test(message("y"), ME) == {"b": "y"}
    assert either.test(message("z"), ME) is None


@pytest.mark.parametrize("text", ["x", "y"])
def test_not(text: str) -> None:
    assert takes(~matches("x"), text) is (text == "y")
    assert takes(~~matches("x"), text) is (text == "x")


def test_precedence_is_that_of_python() -> None:
    both = in_group | in_private & ~from_owner
    assert takes(both, group=True, sender="ou_boss")
    assert not takes(both, sender="ou_boss")
    assert takes(both)


def test_joins_that_python_would_take_for_one_of_the_two_are_refused() -> None:
    with pytest.raises(Misused, match=r"& \| ~"):
        _ = to_me and in_group
    with pytest.raises(Misused, match="not by and"):
        _ = not to_me
