"""An archiver with a real log and a real store around it, and a door that a test can close between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.envelope import Entry
from app.queue.log import EventLog
from app.storage.archiver import Archiver
from app.storage.cipher import Cipher, record_identity
from app.storage.log_entry import Log
from app.storage.message import NewMessage
from app.storage.messages import Messages
from app.storage.overflow import Overflow

BOTS = ("echo", "support")
CIPHER = Cipher("echo", {b"keyi": bytes(32)}, b"keyi")


class QuickClock:
    """Real time, but nobody waits: a sleep moves the clock."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> float:
        return time.time() + self.slept

    def monotonic(self) -> float:
        return time.monotonic() + self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += max(0.0, seconds)
        await asyncio.sleep(0.001)


class Gate:
    """The real store behind a door that a test can close."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self.away = False
        self.tries = 0
        self.batches: list[int] = []

    async def insert(self, rows: Sequence[NewMessage]) -> None:
        self.tries += 1
        if self.away:
            raise StoreUnavailable("the database is away")
        await self._messages.insert(rows)
        self.batches.append(len(rows))


class House:
    """An archiver with everything around it."""

    def __init__(self, link: RedisLink, keys: Keys, messages: Messages, directory: Path) -> None:
        self.link = link
        self.keys = keys
        self.log = EventLog(link, keys)
        self.gate = Gate(messages)
        self.messages = messages
        self.overflow_path = directory / "archive-overflow.db"
        self.clock = QuickClock()

    def archiver(
        self, max_lag: int = 50_000, log: Log[Entry] | None = None, bots: Sequence[str] = BOTS
    ) -> Archiver[Entry]:
        return Archiver(
            log or self.log,
            self.gate,
            Overflow(self.overflow_path),
            bots=lambda: bots,
            consumer="node-1",
            max_lag=max_lag,
            clock=self.clock,
        )

    @asynccontextmanager
    async def running(self, archiver: Archiver[Entry]) -> AsyncIterator[Archiver[Entry]]:
        task = asyncio.create_task(archiver.run())
        try:
            yield archiver
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None

    async def put(self, bot: str, *entries: Entry) -> None:
        for item in entries:
            await self.link.commands.xadd(self.keys.bot(bot, "log"), {"e": item.packed(), "s": item.sealed})

    async def nothing_waits(self) -> bool:
        return await self.log.lag(BOTS) == 0

    def stored(self, count: int) -> Callable[[], Any]:
        async def reached() -> bool:
            return await self.messages.count() == count

        return reached


def entry(number: int, **changes: Any) -> Entry:
    name = f"evt_{number}"
    made = Entry(
        kind="event",
        event_id=name,
        identity=f"om_{number}",
        type="im.message.receive_v1",
        conversation="oc_1",
        chat_id="oc_1",
        user_id="ou_1",
        message_id=f"om_{number}",
        received=1_700_000_000.5 + number,
        replay=0,
        sealed=CIPHER.seal(b"hello", record_identity(name)),
    )
    return made._replace(**changes)
