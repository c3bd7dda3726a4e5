"""Real worker processes: replaced when they die, handed over when they block, offenders kept apart."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from app.core.ending import ended
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.queue.dead_letters import DeadLetters
from app.queue.leases import Leases
from app.queue.mailbox import Mailbox
from app.queue.work import Receipt
from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.message import Message
from app.storage.cipher import Cipher
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.worker.dial import Dials
from app.worker.lane import Lane
from app.worker.lanes import Lanes
from app.worker.nursery import Nursery
from app.worker.takeover import Takeover
from app.worker.worker import Worker
from tests.unit.worker.kit import Bots, Mouth, message, parts_of, spec
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")

MASTER = MasterKey([new_key()], "the test")


def rogue() -> Bot[Any]:
    """Does to its worker what its messages say."""
    bot = Bot()

    @bot.message()
    async def obey(message: Message, ctx: Context) -> str:
        word, _, rest = message.text.partition(" ")
        if word == "exit":
            os._exit(9)
        if word == "exit-once" and first_time(Path(rest)):
            os._exit(9)
        if word == "exit-twice-and-hang":
            if first_time(Path(rest)) or first_time(Path(f"{rest}-2")):
                os._exit(9)
            first_time(Path(f"{rest}-hangs"))
            await asyncio.Event().wait()
        if word == "exit-beside":
            await asyncio.wait([asyncio.create_task(leave())])
        if word == "hang-beside":
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 60.0)
        if word == "block":
            Path(rest).read_text()  # noqa: ASYNC240 - what a careless author writes; a pipe that says nothing yet
        return f"{os.getpid()}"

    return bot


def plain() -> Bot[Any]:
    """Its plain function runs in a thread, and may keep the interpreter's lock, as C code can."""
    bot = Bot()

    @bot.message()
    def obey(message: Message, ctx: Context) -> str:
        time.sleep(0.1)  # the step that started the thread is over, nobody's code is on the loop
        ctypes.PyDLL(None).open(os.fsencode(message.text), os.O_RDONLY)  # a pipe, until somebody writes into it
        return f"{os.getpid()}"

    return bot


def go_on(pipe: Path) -> None:
    pipe.write_text("go on")


async def leave() -> None:
    sys.exit()


def first_time(mark: Path) -> bool:
    seen = mark.exists()
    mark.touch()
    return not seen


class Said(Mouth):
    """Notes what is said in Redis, since it is said in other processes."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        super().__init__()
        self._link, self._key = link, f"{keys.prefix}wake:said"

    async def send(self, spec: Any, message: Any, name: Any, ledger: Any, **patience: Any) -> Any:
        sent = await super().send(spec, message, name, ledger)
        if not sent.repeated:
            said = next(said for said in reversed(self.said) if said[1] == message.target.id)
            await cast(Any, self._link.commands.rpush(self._key, " ".join(said)))
        return sent


def bots() -> Bots:
    return Bots(
        spec("rogue", message={"retry_policy": {"backoff": "1ms"}}),
        spec("good"),
        spec("plain"),
        rogue=rogue(),
        plain=plain(),
        good=rogue(),
    )


@dataclass
class Node:
    """A node's lanes, and its queue."""

    lanes: Lanes
    link: RedisLink
    keys: Keys
    ciphers: dict[str, Cipher]
    catalog: Bots

    async def say(self, number: int, text: str, bot: str, chat: str = "oc_1") -> None:
        incoming = message(number, text, self.ciphers[bot], bot=bot, chat=chat)
        (receipt,) = await Mailbox(self.link, self.keys).accept([incoming])
        assert isinstance(receipt, Receipt)
        assert receipt.status == "accepted"

    async def said(self) -> dict[str, tuple[str, int]]:
        """By the message answered: the bot and the process that spoke."""
        lines = await cast(Any, self.link.commands.lrange(f"{self.keys.prefix}wake:said", 0, -1))
        words = [line.decode().split() for line in lines]
        targets = [target for _, target, _ in words]
        assert len(targets) == len(set(targets)), "something was said twice"
        return {target: (bot, int(pid)) for bot, target, pid in words}

    async def answered(self, *numbers: int) -> bool:
        return {f"om_in_{n}" for n in numbers} <= (await self.said()).keys()

    def pid(self, kind: str) -> int:
        (pid,) = [pid for pid, one in self.lanes.pids.items() if one == kind]
        return pid


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Whoever reads it waits until somebody writes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.fixture
def started(engine_url: str, keys: Keys, tmp_path: Path) -> Iterator[tuple[Nursery, Dials]]:
    dials = Dials()

    def worker_main(lane: Lane) -> int:
        async def main() -> int:
            link = await connect(engine_url)
            keyring = Keyring(MASTER, link, keys, tmp_path / "keys")
            parts = parts_of(link, keys, engine_url, keyring, bots(), Said(link, keys), dials, 2.0)
            try:
                return await Worker(lane, parts).run()
            finally:
                await link.close()

        return asyncio.run(main())

    nursery = Nursery.start(worker_main)
    yield nursery, dials
    nursery.close()


@pytest.fixture
async def node(started: tuple[Nursery, Dials], link: RedisLink, keys: Keys, tmp_path: Path) -> AsyncIterator[Node]:
    nursery, dials = started
    keyring = Keyring(MASTER, link, keys, tmp_path / "keys")
    ciphers = {bot: await keyring.cipher(bot) for bot in ("rogue", "good", "plain")}
    catalog = bots()
    leases = Leases(link, keys)
    lanes = Lanes(nursery, dials, leases, catalog, name="node:boot")
    sweeping = asyncio.create_task(Takeover(leases, catalog, "node").run())
    await lanes.start()
    yield Node(lanes, link, keys, ciphers, catalog)
    await lanes.stop(drain=2.0)
    await ended(sweeping)
    await keyring.close()


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
    await until(lambda: node.answered(2), timeout=15)
    (letter,) = await DeadLetters(node.link, node.keys).list("rogue")
    assert (letter.reason, letter.starts) == ("died alone", 3)
    assert await node.answered(1) is False


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


async def test_a_changed_directory_ends_the_quarantine(node: Node, tmp_path: Path) -> None:
    await node.say(1, f"exit-once {tmp_path / 'mark'}", "rogue")
    await until(lambda: node.answered(1))
    node.catalog.change(spec("rogue", revision="2"))
    assert node.lanes.quarantined == ()
    await until(lambda: list(node.lanes.pids.values()) == ["shared"])
    await node.say(2, "hello", "rogue")
    await until(lambda: node.answered(2))
    assert (await node.said())["om_in_2"][1] == node.pid("shared")


async def test_renewed_workers_take_over_without_a_gap(node: Node) -> None:
    first = node.pid("shared")
    node.lanes.renew()
    await until(lambda: first not in node.lanes.pids and node.lanes.ready)
    await node.say(1, "hello", "good")
    await until(lambda: node.answered(1))


async def test_a_lost_nursery_is_told(node: Node, started: tuple[Nursery, Dials]) -> None:
    worker = psutil.Process(node.pid("shared"))
    os.kill(started[0].pid, signal.SIGKILL)
    await asyncio.wait_for(node.lanes.lost_nursery.wait(), 5)
    await until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


async def test_sys_exit_in_a_task_that_a_handler_started_ends_that_task_only(node: Node) -> None:
    worker = node.pid("shared")
    await node.say(1, "exit-beside", "rogue")
    await node.say(2, "hello", "good")
    await until(lambda: node.answered(1, 2))
    assert {pid for _, pid in (await node.said()).values()} == {worker}
    assert node.pid("shared") == worker


async def test_a_thread_that_hangs_does_not_keep_a_worker_from_its_end(node: Node) -> None:
    first = node.pid("shared")
    await node.say(1, "hang-beside", "rogue")
    await until(lambda: node.answered(1))
    node.lanes.renew()
    await until(lambda: first not in node.lanes.pids)


async def test_a_thread_that_keeps_the_interpreter_to_itself_stops_only_its_own_bot(
    node: Node, started: tuple[Nursery, Dials], pipe: Path
) -> None:
    blocked = node.pid("shared")
    await node.say(1, str(pipe), "plain")
    await until(lambda: started[1].in_threads(0) and not started[1].on_loop(0))
    await node.say(2, "hello", "good")
    await until(lambda: node.answered(2))
    await until(lambda: node.lanes.quarantined == ("plain",))
    assert not await node.answered(1)
    go_on(pipe)
    await until(lambda: node.answered(1))
    assert (await node.said())["om_in_1"][1] == blocked


async def test_an_event_that_runs_alone_does_not_die_of_the_nodes_own_end(node: Node, tmp_path: Path) -> None:
    await node.say(1, f"exit-twice-and-hang {tmp_path / 'mark'}", "rogue")
    await until((tmp_path / "mark-hangs").exists, timeout=15)
    stopping = asyncio.create_task(node.lanes.stop(drain=2.0))
    await asyncio.sleep(0)
    os.kill(node.pid("solo"), signal.SIGKILL)
    await stopping
    assert await DeadLetters(node.link, node.keys).list("rogue") == []
    (work,) = await Mailbox(node.link, node.keys).take("rogue", "next", 1)
    assert work.deaths == 2
