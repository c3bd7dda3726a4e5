"""A worker in the test's own process with a line whose other end the test holds; and a node with real workers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from app.channel.outbox import Outbox
from app.core.ending import ended
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.model.bot import BotSpec
from app.queue.calls import Calls
from app.queue.dead_letters import DeadLetter, DeadLetters
from app.queue.leases import Leases
from app.queue.mailbox import Mailbox
from app.queue.outbox import OutboxQueue
from app.queue.timetable import Timetable
from app.queue.work import Incoming, Receipt
from app.sdk.bot import Bot
from app.storage.cipher import Cipher
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.worker.dial import Dials
from app.worker.lane import Lane
from app.worker.lanes import Lanes
from app.worker.line import Line, Message
from app.worker.nursery import Nursery
from app.worker.parts import Parts
from app.worker.takeover import Takeover
from app.worker.worker import Worker
from tests.unit.channel.parts import PlainSeal
from tests.unit.worker.kit import Bots, Mouth, parts_of, spec
from tests.unit.worker.node import MASTER, Node, Said, bots
from tests.waiting import PATIENCE


@dataclass
class Site:
    """A queue, bots, and the workers that a test starts."""

    link: RedisLink
    keys: Keys
    url: str
    keyring: Keyring
    cipher: Cipher
    bots: Bots = field(default_factory=Bots)
    mouth: Mouth = field(default_factory=Mouth)
    told: list[Message] = field(default_factory=list)
    """What the workers told their node."""
    lines: list[Line] = field(default_factory=list)
    """The node's ends, one a worker."""
    workers: list[asyncio.Task[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mailbox = Mailbox(self.link, self.keys)
        self.leases = Leases(self.link, self.keys)
        self.calls = Calls(self.link, self.keys)
        self.dead = DeadLetters(self.link, self.keys)
        self.timetable = Timetable(self.link, self.keys)
        self.outbox = Outbox(OutboxQueue(self.link, self.keys), PlainSeal())

    def add(self, bot: Bot[Any], one: BotSpec | None = None, **config: Any) -> None:
        one = one or spec(**config)
        self.bots.code[one.id] = bot
        self.bots.change(one)

    async def accept(self, *batch: Incoming) -> None:
        receipts = await self.mailbox.accept(batch)
        statuses = [one.status if isinstance(one, Receipt) else "unknown" for one in receipts]
        assert statuses == ["accepted"] * len(batch)

    async def worker(self, *, serve: bool = True, **options: Any) -> None:
        """Start one, as a node's nursery would, but in this process; without `serve` it is a spare."""
        number = len(self.workers) + 1
        ours, theirs = socket.socketpair()
        drain = options.pop("drain_timeout", 1.0)
        lane = Lane(number, 0, options.pop("kind", "shared"), f"test:{number}", line=theirs, **options)
        line = Line(ours)
        self.lines.append(line)
        await line.open(self.told.append, lambda: None)
        if serve:
            line.tell({"do": "serve"})
        self.workers.append(asyncio.create_task(Worker(lane, self.parts(drain)).run()))

    def parts(self, drain: float = 1.0) -> Parts:
        parts = parts_of(self.link, self.keys, self.url, self.keyring, self.bots, self.mouth, Dials(), drain)
        return replace(parts, calls=self.calls)

    async def done(self, bot: str = "echo") -> bool:
        """Whether no event of the bot waits or is being handled."""
        return await self.mailbox.depth(bot) == 0

    async def swept(self, bot: str = "echo") -> bool:
        """The same, where events wait for their retry: a node's sweep makes them ready."""
        await self.leases.sweep([bot])
        return await self.done(bot)

    async def letters(self, bot: str = "echo") -> list[DeadLetter]:
        return await self.dead.list(bot)

    def tell(self, message: Message, worker: int = 0) -> None:
        self.lines[worker].tell(message)

    async def close(self) -> None:
        for line in self.lines:
            line.tell({"do": "drain"})
        await asyncio.wait_for(asyncio.gather(*self.workers), PATIENCE)
        for line in self.lines:
            await line.close()
        asyncio.get_running_loop().set_task_factory(None)


@pytest.fixture
async def site(link: RedisLink, keys: Keys, engine_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    keyring = Keyring(MasterKey([new_key()], "the test"), link, keys, tmp_path / "keys")
    site = Site(link, keys, engine_url, keyring, await keyring.cipher("echo"))
    yield site
    await site.close()
    await keyring.close()


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
    await lanes.start(PATIENCE)
    yield Node(lanes, link, keys, ciphers, catalog)
    await lanes.stop(drain=2.0)
    await ended(sweeping)
    await keyring.close()
