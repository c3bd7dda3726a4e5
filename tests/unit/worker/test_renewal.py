"""Workers that come and go in each other's way: as many serve in the end as at the beginning."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from app.worker.dial import Dials
from app.worker.lane import Lane
from app.worker.lanes import Lanes
from app.worker.nursery import Nursery, Parent
from tests.unit.worker.kit import Bots, spec
from tests.waiting import until


class Midwife:
    """A nursery whose workers are the test's."""

    def __init__(self) -> None:
        self.orders: list[int] = []
        self.lines: dict[int, socket.socket] = {}
        self.dead: set[int] = set()
        self._heard: dict[int, str] = {}

    def listen(self, parent: Parent) -> None:
        self.parent = parent

    def spawn(self, lane: Lane) -> None:
        self.orders.append(lane.number)

    def kill(self, number: int, signum: int) -> None:
        pass

    def close(self) -> None:
        for line in self.lines.values():
            line.close()

    def bear(self, number: int) -> None:
        ours, self.lines[number] = socket.socketpair()
        self.lines[number].setblocking(False)
        self.parent.born(number, 1000 + number, ours)

    def say(self, number: int, **message: Any) -> None:
        self.lines[number].sendall(json.dumps(message).encode() + b"\n")

    def heard(self, number: int) -> list[str]:
        """What it was told to do, in order."""
        try:
            self._heard[number] = self._heard.get(number, "") + self.lines[number].recv(1 << 16).decode()
        except BlockingIOError:
            pass
        return [json.loads(line)["do"] for line in self._heard.get(number, "").splitlines()]

    def last(self, number: int) -> dict[str, Any]:
        """The last of that, whole."""
        return dict(json.loads(self._heard[number].splitlines()[-1]))

    def dies(self, number: int, status: int = -9) -> None:
        self.dead.add(number)
        self.parent.died(number, 1000 + number, status)


class Leases:
    async def abandon(self, owner: str, bots: Sequence[str], *, alive: bool = False) -> int:
        return 0


@pytest.fixture
def midwife() -> Midwife:
    return Midwife()


@pytest.fixture
async def lanes(midwife: Midwife) -> AsyncIterator[Lanes]:
    lanes = Lanes(cast(Nursery, midwife), Dials(slots=8), Leases(), Bots(spec("echo")), name="n:b")
    starting = asyncio.create_task(lanes.start())
    await until(lambda: midwife.orders == [1])
    await serves(midwife, 1)
    await starting
    yield lanes
    stopping = asyncio.create_task(lanes.stop(0.1))
    await asyncio.sleep(0)
    for number in set(midwife.orders) - midwife.dead:
        midwife.dies(number, 0)
    await stopping


async def serves(midwife: Midwife, number: int) -> None:
    """Have a worker be born, and say that it is ready."""
    midwife.bear(number)
    midwife.say(number, say="ready", faults={})
    await until(lambda: midwife.heard(number)[:1] == ["serve"])


async def told_to_retire(midwife: Midwife, number: int) -> None:
    await until(lambda: "retire" in midwife.heard(number))


@pytest.mark.parametrize("order", [(2, 3), (3, 2)], ids=["older first", "newer first"])
async def test_renewed_again_before_the_first_is_through(
    lanes: Lanes, midwife: Midwife, order: tuple[int, int]
) -> None:
    lanes.renew()
    lanes.renew()
    assert midwife.orders == [1, 2, 3]
    for number in order:
        await serves(midwife, number)
    for number in (1, 2):
        await told_to_retire(midwife, number)
        midwife.dies(number, 0)
    assert midwife.heard(3) == ["serve"]
    assert (list(lanes.pids), midwife.orders) == ([1003], [1, 2, 3])


async def test_a_successor_that_dies_before_it_is_ready_leaves_the_old_one_until_the_next(
    lanes: Lanes, midwife: Midwife
) -> None:
    lanes.renew()
    midwife.bear(2)
    midwife.dies(2)
    await until(lambda: midwife.orders == [1, 2, 3])
    assert lanes.ready
    assert midwife.heard(1) == ["serve"]
    await serves(midwife, 3)
    await told_to_retire(midwife, 1)


async def test_one_that_dies_while_its_successor_starts_is_not_replaced_twice(lanes: Lanes, midwife: Midwife) -> None:
    lanes.renew()
    midwife.bear(2)
    midwife.dies(1)
    assert midwife.orders == [1, 2]
    midwife.dies(2)
    await until(lambda: midwife.orders == [1, 2, 3])


async def test_an_event_is_not_to_blame_where_no_process_could_be_forked_for_it(lanes: Lanes, midwife: Midwife) -> None:
    midwife.say(1, say="solo", id=1, work={})
    await until(lambda: midwife.orders == [1, 2])
    midwife.dies(2, 12)
    await until(lambda: "solo" in midwife.heard(1))
    assert midwife.last(1)["outcome"]["ending"] == "put_back"


@pytest.mark.parametrize("turns", range(5))
async def test_what_a_dead_worker_asked_for_keeps_no_other_event_waiting(
    lanes: Lanes, midwife: Midwife, turns: int
) -> None:
    midwife.say(1, say="solo", id=1, work={"of": "dead"})
    for _ in range(turns):
        await asyncio.sleep(0)
    midwife.dies(1)
    await until(lambda: len(midwife.orders) >= 2)
    second = midwife.orders[-1]
    await serves(midwife, second)
    midwife.say(second, say="solo", id=2, work={"of": "living"})
    await until(lambda: len(midwife.orders) >= 3 and midwife.orders[-1] > second)
    alone = midwife.orders[-1]
    midwife.bear(alone)
    await until(lambda: midwife.heard(alone) == ["serve", "run"])


async def test_a_bot_whose_start_failed_is_shown_until_it_succeeds_or_the_bot_changes(
    lanes: Lanes, midwife: Midwife
) -> None:
    def says(number: int, fault: str, revision: str = "1") -> None:
        midwife.say(number, say="start", bot="echo", revision=revision, fault=fault)

    says(1, "on_start failed: ValueError at bots/echo.py:3 in begin")
    await until(lambda: lanes.faults.get("echo") is not None)
    assert (lanes.faults["echo"].text, lanes.faults["echo"].runs) == (
        "on_start failed: ValueError at bots/echo.py:3 in begin",
        False,
    )
    lanes.renew()
    await serves(midwife, 2)
    await until(lambda: not lanes.faults)
    says(2, "again")
    await until(lambda: bool(lanes.faults))
    says(2, "")
    await until(lambda: not lanes.faults)
    says(2, "once more")
    await until(lambda: bool(lanes.faults))
    says(2, "as its directory was before", revision="0")
    await until(lambda: not lanes.faults)
