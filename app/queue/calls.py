"""Callbacks: the worker's answer finds the gateway that holds the HTTP request open, or is late; never both."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final, Literal

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.keys import Keys
from app.core.lua import Script
from app.core.pubsub import listen
from app.core.redis import RedisLink

_ANSWER = Script(Path(__file__).parent / "answer.lua")
_AGE = Script(Path(__file__).parent / "age.lua")
RESULT_TTL: Final = 600
# Feishu itself waits 3 s, a gateway a little less.
_NOBODY_WAITS_MS: Final = 3000
# A primary that hangs passes nothing on, and people wait for it.
_PATIENCE: Final = 1.0


class Calls:
    """Results of callbacks; one channel serves all gateways, since people click far less than they write."""

    def __init__(
        self, link: RedisLink, keys: Keys, *, patience: float = _PATIENCE, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """`patience` is how long the channel may be silent before Redis is asked, and how long it then has."""
        self._patience = patience
        self._link = link
        self._keys = keys
        self._clock = clock
        self._waiting: dict[bytes, set[asyncio.Future[bytes]]] = {}

    async def answer(self, bot: str, event_id: str, log_id: str, result: bytes) -> Literal["delivered", "late"]:
        """The worker's side: hand over the sealed result; `late` when the gateway had given up before.

        `log_id` says when the callback came, by Redis' clock: those of its gateway and of its worker may differ.
        """
        key = self._keys.result(bot, event_id)
        reply = await _ANSWER(
            self._link.commands,
            [key],
            ["answer", result, RESULT_TTL, self._keys.answers, _head(bot, event_id), log_id, _NOBODY_WAITS_MS],
        )
        return "late" if reply == b"late" else "delivered"

    async def age(self, bot: str, log_id: str) -> float:
        """For how many seconds a callback has been in the queue, by Redis' clock."""
        return float(await _AGE(self._link.commands, [self._keys.root(bot)], [log_id])) / 1000

    async def wait(self, bot: str, event_id: str, deadline: float) -> bytes | None:
        """The gateway's side: the sealed result, or None when there is none by `deadline` (monotonic seconds)."""
        head = _head(bot, event_id)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(head, set()).add(future)
        key = self._keys.result(bot, event_id)
        try:
            # A duplicate's result may be there already, and one may have come before the future was.
            known = await self._ask(key, "read")
            if known == b"":
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(future, max(0.0, deadline - self._clock.monotonic()))
                known = await self._ask(key, "give-up")
            return known[1:] if known[:1] == b"=" else None
        finally:
            waiters = self._waiting.get(head, set())
            waiters.discard(future)
            if not waiters:
                self._waiting.pop(head, None)

    async def _ask(self, key: str, what: str) -> bytes:
        reply: bytes = await _ANSWER(self._link.commands, [key], [what, b"", RESULT_TTL])
        return reply

    async def listen(self) -> None:
        """Pass answers on to who waits for them, until cancelled; outlives every outage.

        What is published meanwhile is also in Redis, where the waiter finds it at its deadline.
        """
        await listen(self._link, self._keys.answers, self._pass_on, patience=self._patience, clock=self._clock)

    def _pass_on(self, data: bytes | None) -> None:
        if data is None:
            return
        size = int.from_bytes(data[:2], "big")
        for future in self._waiting.get(data[: 2 + size], ()):
            if not future.done():
                future.set_result(data[2 + size :])


def _head(bot: str, event_id: str) -> bytes:
    name = f"{bot}\n{event_id}".encode()
    return len(name).to_bytes(2, "big") + name
