"""Who goes on when a worker blocks or dies: one that was started while it was only held, else a new one."""

from __future__ import annotations

from typing import cast

import pytest

from app.worker import dial as dial_module
from app.worker import looks as looks_module
from app.worker.apart import Apart
from app.worker.dial import NANO, Dial, Dials
from app.worker.lane import Lane
from app.worker.looks import HAND_OVER
from app.worker.nursery import Nursery
from app.worker.processes import Processes, WorkerProcess
from app.worker.quarantine import Quarantine
from app.worker.successors import SPARE_TERM, Successors
from app.worker.watch import LoopWatch
from tests.hand_clock import HandClock
from tests.unit.worker.kit import Bots, spec


class Enough(Exception):
    """The test has seen what it wanted."""


class Orders:
    """A nursery that bears nothing."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def spawn(self, lane: Lane) -> None:
        self.kinds.append(lane.kind)


class Lifetime(HandClock):
    """Time passes as far as the test says, in the sleeps of who looks, and the dials go by it."""

    end = 0.0

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.time > self.end:
            raise Enough

    def monotonic_ns(self) -> int:
        return int(self.time * NANO)


class Stand:
    """A node's shared worker, its dial, and the looks at it."""

    def __init__(self) -> None:
        self.clock = Lifetime()
        self.orders = Orders()
        self.freed: list[tuple[str, list[str], float]] = []
        dials = Dials(slots=4)
        self.processes = Processes(cast(Nursery, self.orders), dials, name="n:b", shared=1, clock=self.clock)
        catalog = Bots(spec("good"), spec("slow"))
        self.apart = Apart(Quarantine(clock=self.clock), self.processes, catalog)
        self.successors = Successors(self.processes, self.apart, self.clock, lambda pause: pause.close())
        self._watch = LoopWatch(self.processes, self.apart, self.successors, catalog, self.clock, self._free)
        first = self.successors.start("shared")
        assert first is not None
        self.first = ready(first)
        self.dial = Dial(dials, self.first.lane.slot)

    def _free(self, owner: str, bots: list[str], alive: bool) -> None:
        assert alive
        self.freed.append((owner, bots, self.clock.time))

    async def look(self, seconds: float) -> None:
        self.clock.end = self.clock.time + seconds
        with pytest.raises(Enough):
            await self._watch.run()

    async def hold(self, seconds: float) -> None:
        self.dial.enter("slow")
        await self.look(seconds)
        self.dial.leave()

    def dies(self, process: WorkerProcess, culprit: str) -> None:
        self.processes.gone(process.lane.number)
        self.apart.offend(culprit, "it ended its process")
        self.successors.replace(process, culprit)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    stand = Stand()
    for module in (dial_module, looks_module):
        monkeypatch.setattr(module, "time", stand.clock)
    return stand


def ready(process: WorkerProcess) -> WorkerProcess:
    process.state = "ready"
    return process


def told(process: WorkerProcess) -> list[str]:
    return [message["do"] for message in process.pending]


async def test_a_worker_is_started_while_a_hold_is_short_and_serves_as_soon_as_it_is_long(stand: Stand) -> None:
    await stand.hold(0.08)
    spare = stand.processes.spare
    assert spare is not None
    assert (stand.orders.kinds, told(spare), told(stand.first)) == (["shared", "shared"], [], ["serve"])
    began = stand.clock.time
    await stand.hold(HAND_OVER + 0.01)
    assert (told(ready(spare)), told(stand.first)) == (["serve"], ["serve", "retire"])
    ((owner, bots, at),) = stand.freed
    assert (owner, bots) == (stand.first.lane.owner, ["good"])
    assert at - began == pytest.approx(HAND_OVER, abs=0.003)
    assert stand.processes.spare is None
    assert (stand.orders.kinds, stand.processes.serving) == (["shared", "shared"], True)


async def test_a_bot_that_holds_its_loop_a_little_again_and_again_costs_one_spare(stand: Stand) -> None:
    for _ in range(100):
        await stand.hold(0.08)
        await stand.look(1.0)
    assert stand.orders.kinds == ["shared", "shared"]
    assert told(stand.first) == ["serve"]


async def test_short_steps_start_nothing(stand: Stand) -> None:
    for _ in range(10):
        await stand.hold(0.04)
    assert stand.orders.kinds == ["shared"]


async def test_a_spare_that_nobody_needs_ends(stand: Stand) -> None:
    await stand.hold(0.08)
    spare = stand.processes.spare
    assert spare is not None
    await stand.look(SPARE_TERM - 2)
    assert told(spare) == []
    await stand.look(4)
    assert told(spare) == ["retire"]
    assert stand.processes.spare is None
    await stand.hold(0.08)
    assert stand.orders.kinds == ["shared"] * 3


async def test_a_spare_takes_over_from_one_that_dies_and_is_no_worker_that_serves_before(stand: Stand) -> None:
    stand.successors.foresee()
    spare = stand.processes.spare
    assert spare is not None
    ready(spare)
    stand.first.state = "starting"
    assert not stand.processes.serving
    stand.dies(stand.first, "slow")
    assert told(spare) == ["bots", "serve"], "it leaves the culprit alone from its first event on"
    assert stand.orders.kinds == ["shared", "shared", "quarantine"]


async def test_a_spare_that_dies_is_not_replaced(stand: Stand) -> None:
    stand.successors.foresee()
    spare = stand.processes.spare
    assert spare is not None
    stand.processes.gone(spare.lane.number)
    stand.successors.replace(spare, "")
    assert stand.orders.kinds == ["shared", "shared"]


async def test_who_did_nothing_is_served_again_before_the_culprit(stand: Stand) -> None:
    stand.dies(stand.first, "slow")
    assert stand.orders.kinds == ["shared", "shared"]
    (second,) = stand.processes
    assert second.lane.bots == ("slow",)
    ready(second)
    stand.apart.have_lane()
    assert stand.orders.kinds == ["shared", "shared", "quarantine"]


async def test_who_did_nothing_never_waits_for_what_the_culprits_do_again_and_again(stand: Stand) -> None:
    stand.apart.offend("slow", "it ended its process")
    for _ in range(3):
        apart = stand.processes.of_kind("quarantine")
        assert apart is not None
        stand.dies(apart, "slow")
        stand.apart.have_lane()
    stand.dies(stand.first, "good")
    assert stand.orders.kinds[-1] == "shared"


async def test_a_fault_in_one_look_ends_no_other(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(stand.first, "looks", None)
        await stand.look(0.5)
    await stand.hold(0.08)
    assert stand.processes.spare is not None
