"""The node's desk for events that run alone."""

from __future__ import annotations

from typing import Any

import pytest

from app.queue.envelope import Entry
from app.queue.work import Work
from app.worker.outcome import DONE, PUT_BACK
from app.worker.solo import SOLO_AT_ONCE, SoloDesk, packed, unpacked


class Node:
    """Notes what the desk wants done."""

    def __init__(self) -> None:
        self.spawned: list[int] = []
        self.told: list[tuple[int, dict[str, Any]]] = []
        self.killed: list[int] = []
        self.room = True
        self.desk = SoloDesk(
            self.spawn, lambda number, message: self.told.append((number, message)), self.killed.append
        )

    def spawn(self, asker: int) -> int | None:
        if not self.room:
            return None
        self.spawned.append(asker)
        return 100 + len(self.spawned)


@pytest.fixture
def node() -> Node:
    return Node()


def ask(number: int) -> dict[str, Any]:
    return {"say": "solo", "id": number, "work": {"n": number}}


def test_an_outcome_goes_to_who_asked_and_the_death_after_it_says_nothing_more(node: Node) -> None:
    node.desk.ask(1, ask(7))
    node.desk.outcome(101, {"outcome": DONE.message()})
    node.desk.gone(101)
    assert node.told == [
        (101, {"do": "run", "work": {"n": 7}}),
        (1, {"do": "solo", "id": 7, "outcome": DONE.message()}),
    ]


def test_a_death_without_an_outcome_is_told(node: Node) -> None:
    node.desk.ask(1, ask(7))
    node.desk.gone(101)
    assert node.told[-1] == (1, {"do": "solo", "id": 7, "died": True})


def test_who_ends_because_the_node_does_has_its_event_handed_back(node: Node) -> None:
    node.desk.ask(1, ask(7))
    node.desk.gone(101, told_to_end=True)
    assert node.told[-1] == (1, {"do": "solo", "id": 7, "outcome": PUT_BACK.message()})


def test_a_few_run_at_once_and_the_others_wait_their_turn(node: Node) -> None:
    for number in range(SOLO_AT_ONCE + 1):
        node.desk.ask(1, ask(number))
    assert len(node.spawned) == SOLO_AT_ONCE
    node.desk.gone(101)
    assert len(node.spawned) == SOLO_AT_ONCE + 1
    assert node.killed == [], "who asked for the others is alive"


def test_without_room_they_wait_for_the_next_death(node: Node) -> None:
    node.room = False
    node.desk.ask(1, ask(7))
    node.room = True
    node.desk.gone(55)
    assert node.told == [(101, {"do": "run", "work": {"n": 7}})]


def test_a_dead_askers_runs_are_ended_and_its_questions_dropped(node: Node) -> None:
    for number in range(SOLO_AT_ONCE + 1):
        node.desk.ask(1, ask(number))
    node.desk.gone(1)
    assert node.killed == [101, 102]
    told = len(node.told)
    node.desk.gone(101)
    assert len(node.told) == told
    assert len(node.spawned) == SOLO_AT_ONCE


def test_work_survives_the_line() -> None:
    entry = Entry("event", "e1", "om_1", "t", "oc_1", "oc_1", "ou_1", "om_1", 1.5, 2, b"\x00\xff sealed")
    work = Work("echo", "oc_1", "node:boot:1", 7, "1-0", 3, 1, 0.5, entry)
    assert unpacked(packed(work)) == work
