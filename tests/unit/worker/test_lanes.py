"""Real worker processes: replaced when they die, handed over when they block, offenders kept apart."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from app.queue.dead_letters import DeadLetters
from app.queue.mailbox import Mailbox
from app.worker.dial import Dials
from app.worker.nursery import Nursery
from tests.unit.worker.node import Node
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_handlers_run_in_a_child_of_the_nursery(node: Node) -> None:
    await node.say(1, "hello", "good")
    await until(lambda: node.answered(1))
    assert (await node.said())["om_in_1"] == ("good", node.pid("shared"))
    assert node.pid("shared") != os.getpid()


async def test_a_killed_worker_is_replaced_and_its_events_go_on(node: Node) -> None:
    first = node.pid("shared")
    os.kill(first, signal.SIGKILL)
    await until(lambda: first not in node.lanes.pids and node.lanes.ready)
    await node.say(1, "hello", "good")
    await until(lambda: node.answered(1))
    assert node.lanes.quarantined == ()


async def test_a_bot_that_ends_its_process_is_kept_apart_and_the_event_goes_on(node: Node, tmp_path: Path) -> None:
    await node.say(1, f"exit-once {tmp_path / 'mark'}", "rogue")
    await until(lambda: node.answered(1))
    assert node.lanes.quarantined == ("rogue",)
    await node.say(2, "hello", "rogue")
    await node.say(3, "hello", "good")
    await until(lambda: node.answered(2, 3))
    said = await node.said()
    assert said["om_in_2"][1] == node.pid("quarantine")
    assert said["om_in_3"][1] == node.pid("shared")


async def test_an_event_that_kills_every_process_dies_alone_and_what_is_behind_it_goes_on(
    node: Node,
) -> None:
    await node.say(1, "exit", "rogue")
    await node.say(2, "hello", "rogue")
    await until(lambda: node.answered(2))
    (letter,) = await DeadLetters(node.link, node.keys).list("rogue")
    assert (letter.reason, letter.starts) == ("died alone", 3)
    assert await node.answered(1) is False


async def test_renewed_workers_take_over_without_a_gap(node: Node) -> None:
    first = node.pid("shared")
    node.lanes.renew()
    await until(lambda: first not in node.lanes.pids and node.lanes.ready)
    await node.say(1, "hello", "good")
    await until(lambda: node.answered(1))


async def test_a_lost_nursery_is_told(node: Node, started: tuple[Nursery, Dials]) -> None:
    worker = psutil.Process(node.pid("shared"))
    os.kill(started[0].pid, signal.SIGKILL)
    await asyncio.wait_for(node.lanes.lost_nursery.wait(), PATIENCE)
    await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


async def test_sys_exit_in_a_task_that_a_handler_started_ends_that_task_only(node: Node) -> None:
    worker = node.pid("shared")
    await node.say(1, "exit-beside", "rogue")
    await node.say(2, "hello", "good")
    await until(lambda: node.answered(1, 2))
    assert {pid for _, pid in (await node.said()).values()} == {worker}
    assert node.pid("shared") == worker


async def test_an_event_that_runs_alone_does_not_die_of_the_nodes_own_end(node: Node, tmp_path: Path) -> None:
    await node.say(1, f"exit-twice-and-hang {tmp_path / 'mark'}", "rogue")
    await until((tmp_path / "mark-hangs").exists)
    stopping = asyncio.create_task(node.lanes.stop(drain=2.0))
    await asyncio.sleep(0)
    os.kill(node.pid("solo"), signal.SIGKILL)
    await stopping
    assert await DeadLetters(node.link, node.keys).list("rogue") == []
    (work,) = await Mailbox(node.link, node.keys).take("rogue", "next", 1)
    assert work.deaths == 2
