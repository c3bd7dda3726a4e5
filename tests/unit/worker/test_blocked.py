"""A worker that its bot's code blocks: the others go on in another, and the offender is kept apart."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.worker.dial import NANO, TICK, Dials
from app.worker.nursery import Nursery
from tests.unit.worker.kit import spec
from tests.unit.worker.node import Node
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Whoever reads it waits until somebody writes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def go_on(pipe: Path) -> None:
    pipe.write_text("go on")


async def test_a_blocked_worker_is_handed_over_and_the_others_go_on_meanwhile(
    node: Node, started: tuple[Nursery, Dials], pipe: Path
) -> None:
    blocked = node.pid("shared")
    await node.say(1, f"block {pipe}", "rogue")
    await until(lambda: started[1].on_loop(0))
    await node.say(2, "hello", "good")
    await until(lambda: node.answered(2))
    await until(lambda: node.lanes.quarantined == ("rogue",))
    assert not await node.answered(1)
    go_on(pipe)
    await until(lambda: node.answered(1))
    assert (await node.said())["om_in_1"][1] == blocked
    await until(lambda: blocked not in node.lanes.pids)


async def test_a_thread_that_keeps_the_interpreter_to_itself_stops_only_its_own_bot(
    node: Node, started: tuple[Nursery, Dials], pipe: Path
) -> None:
    blocked = node.pid("shared")
    await node.say(1, str(pipe), "plain")
    # Else it could be a step of the other bot's in which the loop stands still, and that bot would be blamed.
    await until(lambda: started[1].in_threads(0) and time.monotonic_ns() - started[1].tick(0) > 3 * TICK * NANO)
    await node.say(2, "hello", "good")
    await until(lambda: node.answered(2))
    await until(lambda: node.lanes.quarantined == ("plain",))
    assert not await node.answered(1)
    go_on(pipe)
    await until(lambda: node.answered(1))
    assert (await node.said())["om_in_1"][1] == blocked


async def test_a_callback_that_blocks_the_loop_stops_nobody_for_long(node: Node, pipe: Path) -> None:
    blocked = node.pid("shared")
    await node.say(1, f"block-unseen {pipe}", "rogue")
    await until(Path(f"{pipe}-seen").exists)
    await node.say(2, "hello", "good")
    await until(lambda: node.answered(1, 2))
    assert blocked not in {pid for _, pid in (await node.said()).values()}
    go_on(pipe)
    await until(lambda: blocked not in node.lanes.pids)


async def test_a_changed_directory_ends_the_quarantine(node: Node, tmp_path: Path) -> None:
    await node.say(1, f"exit-once {tmp_path / 'mark'}", "rogue")
    await until(lambda: node.answered(1))
    node.catalog.change(spec("rogue", revision="2"))
    assert node.lanes.quarantined == ()
    await until(lambda: list(node.lanes.pids.values()) == ["shared"])
    await node.say(2, "hello", "rogue")
    await until(lambda: node.answered(2))
    assert (await node.said())["om_in_2"][1] == node.pid("shared")


async def test_a_thread_that_hangs_does_not_keep_a_worker_from_its_end(node: Node) -> None:
    first = node.pid("shared")
    await node.say(1, "hang-beside", "rogue")
    await until(lambda: node.answered(1))
    node.lanes.renew()
    await until(lambda: first not in node.lanes.pids)
