"""The name of a send: each part of it makes another message, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.model.outbound import SendName

NAME = SendName("support", "om_asked", 0, "im.message.create", "oc_1", 1)

# What is named differently is said beside the other; bot and event have a sent record of their own.
OTHERS: list[dict[str, Any]] = [
    {"bot": "hr"},
    {"event": "om_other"},
    {"replay": 1},
    {"api": "im.message.reply"},
    {"target": "oc_2"},
    {"n": 2},
    {"part": 1},
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: next(iter(other)))
def test_every_part_of_a_name_counts(other: dict[str, Any]) -> None:
    named = replace(NAME, **other)
    assert named.uuid != NAME.uuid
    assert (named.field != NAME.field) == (not other.keys() & {"bot", "event"})


def test_a_name_is_the_same_in_every_process_and_short_enough_for_feishu() -> None:
    # Written down: an event that was begun before an update is ended after it.
    assert NAME.uuid == replace(NAME).uuid == "c25edbad294c4f78f848152e760f89105ee852f6"
    assert NAME.field == "0:im.message.create:oc_1:1"
    assert replace(NAME, part=2).field == "0:im.message.create:oc_1:1.2"
