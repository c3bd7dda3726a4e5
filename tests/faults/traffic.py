"""People who write without pause while something is broken, and what was answered to Feishu meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

import aiohttp

from app.control.playground.delivery import TOTAL as FEISHU_WAITS
from app.control.playground.delivery import Attempt
from app.control.playground.people import Said
from app.control.playground.world import Chat
from tests.system.hub_process import HubProcess
from tests.system.world import Site
from tests.waiting import until

PROMISED = 1.5
"""Seconds from a request's first byte to its answer."""
# Beside them run two more test processes, and each request has several turns on two loops.
_MORE = 0.5
_TURNS = 5
CHATS = 20
PAUSE = 0.1
"""Seconds between two messages of one person, at least."""


class Traffic:
    """People who write all the time, each one message after the other, to two bots."""

    def __init__(self, site: Site, hub: HubProcess) -> None:
        self._site = site
        self._hub = hub
        self.said: list[Said] = []
        self._writing: list[asyncio.Task[None]] = []
        self._stop = False
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._lag = 0.0
        """Seconds: the longest that the machine kept a question waiting which asks for no work at all."""

    def begin(self) -> None:
        self._writing.append(asyncio.create_task(self._feel()))
        for number in range(CHATS):
            bot = ("plain", "echo")[number % 2]
            self._writing.append(asyncio.create_task(self._write(bot, f"person {number}")))

    async def go_on(self, seconds: float) -> None:
        """Let them write so long, and until as many requests were answered as there are people, twice over."""
        enough = self.answered + 2 * CHATS
        until_then = time.monotonic() + seconds
        while (left := until_then - time.monotonic()) > 0:
            done, _ = await asyncio.wait(self._writing, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        await until(lambda: self.answered >= enough)

    async def hush(self) -> None:
        """Have nobody write until `speak`; returns once all that was written has arrived."""
        self._speaks.clear()
        await until(lambda: all(said.deliveries[0].acked for said in self.said))

    def speak(self) -> None:
        self._speaks.set()

    @property
    def _attempts(self) -> list[Attempt]:
        return [attempt for said in self.said for attempt in said.deliveries[0].attempts]

    @property
    def answered(self) -> int:
        """How many requests were answered so far, whatever with."""
        return sum(attempt.status != 0 for attempt in self._attempts)

    async def end(self) -> None:
        """Have them stop, and wait until Feishu has brought, or given up, everything."""
        self._stop = True
        await asyncio.gather(*self._writing)
        await self._site.playground.deliveries.settle()

    async def _write(self, bot: str, person: str) -> None:
        number = 0
        chat = self._site.chat(bot, person)
        while not self._stop:
            await self._speaks.wait()
            number += 1
            said = await self._site.playground.user_says(chat.users[0], chat, f"{person} {number}")
            self.said.append(said)
            await said.settled()
            await asyncio.sleep(PAUSE)

    async def _feel(self) -> None:
        """How long the machine keeps hub and test waiting, while they have nothing else to wait for."""
        async with aiohttp.ClientSession() as session:
            while not self._stop:
                began = time.monotonic()
                async with session.get(f"{self._hub.url}/readyz"):
                    pass
                await asyncio.sleep(PAUSE)
                self._lag = max(self._lag, time.monotonic() - began - PAUSE)

    def refused(self) -> int:
        """How many were refused before their time was over; fails where one was late, or no answer but 200 and 503."""
        attempts = self._attempts
        slowest = max(attempt.seconds for attempt in attempts)
        counts = Counter(attempt.status for attempt in attempts)
        allowed = PROMISED + _MORE + _TURNS * self._lag
        sys.stdout.write(f"{len(attempts)} requests, slowest {slowest:.3f} s, lag {self._lag:.3f} s, {counts}\n")
        assert slowest <= allowed
        # 0: Feishu gave up, which is the hub's fault where the machine left it the time.
        assert set(counts) <= ({200, 503} if allowed < FEISHU_WAITS else {200, 503, 0}), counts
        return sum(attempt.status == 503 and attempt.seconds < PROMISED - 0.2 for attempt in attempts)

    async def proves_itself(self, hub: HubProcess, apart_from: Chat | None = None) -> None:
        """Everything answered 200 is answered by its bot, once, in each chat in order."""
        await until(hub.is_idle)
        replied: dict[str, list[str]] = {}
        for said in self.said:
            replies = self._site.replies(said)
            # What was refused may have been kept all the same: Redis does what it was told once it wakes.
            assert said.deliveries[0].acked <= len(replies) <= 1, said.message.content
        for _, message in self._site.playground.ledger.accepted:
            if message.chat is not apart_from:
                replied.setdefault(message.chat.chat_id, []).append(message.parent)
        for chat_id, parents in replied.items():
            acked = [said.message_id for said in self.said if said.chat_id == chat_id and said.deliveries[0].acked]
            assert [parent for parent in parents if parent in acked] == acked
