"""People who write without pause while something is broken, and what was answered to Feishu meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time

from app.control.playground.people import Said
from app.control.playground.world import Chat
from tests.system.hub_process import HubProcess
from tests.system.world import Site
from tests.waiting import until

# 1.5 s, and what two more test processes on the same two cores may take.
PROMISED = 1.5 + 0.5
"""Seconds from a request's first byte to its answer."""
CHATS = 20
PAUSE = 0.1
"""Seconds between two messages of one person, at least."""


class Traffic:
    """People who write all the time, each one message after the other, to two bots."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.said: list[Said] = []
        self._writing: list[asyncio.Task[None]] = []
        self._stop = False

    def begin(self) -> None:
        for number in range(CHATS):
            bot = ("plain", "echo")[number % 2]
            self._writing.append(asyncio.create_task(self._write(bot, f"person {number}")))

    async def go_on(self, seconds: float) -> None:
        """Let them write so long."""
        until_then = time.monotonic() + seconds
        while (left := until_then - time.monotonic()) > 0:
            done, _ = await asyncio.wait(self._writing, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def end(self) -> None:
        """Have them stop, and wait until Feishu has brought, or given up, everything."""
        self._stop = True
        await asyncio.gather(*self._writing)
        await self._site.playground.deliveries.settle()

    async def _write(self, bot: str, person: str) -> None:
        number = 0
        chat = self._site.chat(bot, person)
        while not self._stop:
            number += 1
            said = await self._site.playground.user_says(chat.users[0], chat, f"{person} {number}")
            self.said.append(said)
            await said.settled()
            await asyncio.sleep(PAUSE)

    def statuses(self) -> dict[int, int]:
        """How often each status was answered; fails where one was late or another than 200 and 503."""
        attempts = [attempt for said in self.said for attempt in said.deliveries[0].attempts]
        slowest = max(attempt.seconds for attempt in attempts)
        counts: dict[int, int] = {}
        for attempt in attempts:
            counts[attempt.status] = counts.get(attempt.status, 0) + 1
        sys.stdout.write(f"{len(attempts)} requests, slowest {slowest:.3f} s, statuses {counts}\n")
        assert set(counts) <= {200, 503}, counts
        assert slowest <= PROMISED
        return counts

    async def proves_itself(self, hub: HubProcess, apart_from: Chat | None = None) -> None:
        """Everything answered 200 is answered by its bot, once, in each chat in order."""
        await until(hub.is_idle)
        replied: dict[str, list[str]] = {}
        for said in self.said:
            replies = self._site.replies(said)
            assert len(replies) == (1 if said.deliveries[0].acked else 0), said.message.content
        for _, message in self._site.playground.ledger.accepted:
            if message.chat is not apart_from:
                replied.setdefault(message.chat.chat_id, []).append(message.parent)
        for chat_id, parents in replied.items():
            acked = [said.message_id for said in self.said if said.chat_id == chat_id and said.deliveries[0].acked]
            assert parents == acked
