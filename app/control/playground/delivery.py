"""Brings events to a hub as Feishu does: 2 s to connect, 3 s in all, five attempts, at least once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import aiohttp

from app.control.playground.envelope import Posted, posted
from app.control.playground.world import App
from app.core.clock import Clock
from app.core.logs import get_logger

log = get_logger(__name__)

CONNECT: Final = 2.0
TOTAL: Final = 3.0
SCHEDULE: Final = (15.0, 300.0, 3600.0, 6 * 3600.0)
AT_ONCE: Final = 256
KEPT: Final = 200_000
ANSWER_KEPT: Final = 2048

State = Literal["waiting", "sending", "delivered", "retrying", "failed"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST: when (epoch seconds), how long it took, and its status or what went wrong."""

    at: float
    seconds: float
    status: int
    error: str = ""
    answer: str = field(default="", repr=False)


@dataclass(eq=False, slots=True)
class Delivery:
    """One event on its way to one app."""

    serial: int
    app: App
    event_id: str
    event_type: str
    identity: str
    """The message id for received messages, else the event id."""
    chat_id: str
    document: dict[str, Any] = field(repr=False)
    state: State = "waiting"
    attempts: list[Attempt] = field(default_factory=list)
    duplicate: Literal["", "same_event", "fresh_event"] = ""
    settled: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    """Set when it was answered 200, and when all attempts have failed."""

    @property
    def acked(self) -> bool:
        """Whether it was answered 200."""
        return self.state == "delivered"


@dataclass(slots=True)
class Chaos:
    """What Feishu's pipeline does to events beside delivering them; probabilities from 0 to 1."""

    duplicate: float = 0.0
    """Delivered again after a 200, with the same event id."""
    duplicate_fresh_id: float = 0.0
    """Received messages delivered again after a 200, with another event id and the same message id."""
    reorder: float = 0.0
    """Held back for a random part of `spread` before the first attempt."""
    spread: float = 0.5
    """Seconds over which duplicates and reordered events are spread."""
    order: Literal["none", "type", "chat"] = "none"
    """Head-of-line blocking: the next event of a type (or chat) waits until the one before was accepted."""
    fresh_signature: bool = True
    """Whether a redelivery is signed anew."""


class Deliveries:
    """All events on their way, and the log of every attempt."""

    def __init__(self, clock: Clock, chance: random.Random, speed: float) -> None:
        self._clock = clock
        self._chance = chance
        self.speed = speed
        self.chaos = Chaos()
        self.log: deque[Delivery] = deque(maxlen=KEPT)
        self.by_identity: dict[str, list[Delivery]] = {}
        self.on_change: Callable[[Delivery], None] = lambda delivery: None
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[tuple[str, str], Delivery] = {}
        self._serial = 0

    def send(
        self,
        app: App,
        event_type: str,
        event_id: str,
        document: dict[str, Any],
        *,
        identity: str = "",
        chat_id: str = "",
        duplicate: Literal["", "same_event", "fresh_event"] = "",
        delay: float = 0.0,
    ) -> Delivery:
        """Set an event on its way; returns at once."""
        self._serial += 1
        delivery = Delivery(
            self._serial,
            app,
            event_id,
            event_type,
            identity or event_id,
            chat_id,
            document,
            duplicate=duplicate,
        )
        if len(self.log) == KEPT:
            self.by_identity.pop(self.log[0].identity, None)
        self.log.append(delivery)
        self.by_identity.setdefault(delivery.identity, []).append(delivery)
        before = self._before(delivery)
        if not delay and self._happens(self.chaos.reorder):
            delay = self._chance.random() * self.chaos.spread
        self._start(self._bring(delivery, before, delay))
        return delivery

    async def post(self, url: str, request: Posted, *, total: float = TOTAL) -> Attempt:
        """One POST as Feishu makes it; never raises for what a hub does."""
        at, start = self._clock.now(), time.perf_counter()
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=CONNECT)
        status, error, answer = 0, "", b""
        try:
            async with self._client().post(
                url, data=request.body, headers=request.headers, timeout=timeout, allow_redirects=False
            ) as response:
                status = response.status
                answer = await response.read()
        except aiohttp.ClientConnectorDNSError:
            status, error = 0, "dns"
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError):
            status, error = 0, "connect"
        except TimeoutError:
            status, error = 0, "timeout"
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            status, error = 0, type(problem).__name__
        return Attempt(at, time.perf_counter() - start, status, error, answer.decode("utf-8", "replace"))

    def open(self) -> list[Delivery]:
        """Events that are neither delivered nor given up."""
        return [delivery for delivery in self.log if delivery.state not in ("delivered", "failed")]

    async def settle(self, timeout: float = 60.0) -> None:
        """Wait until nothing is under way; TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while self._tasks:
                await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Drop what is under way and close the connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _bring(self, delivery: Delivery, before: Delivery | None, delay: float) -> None:
        if before is not None:
            await before.settled.wait()
        if delay:
            await self._clock.sleep(delay)
        request: Posted | None = None
        for wait in (*SCHEDULE, None):
            if request is None or self.chaos.fresh_signature:
                request = posted(delivery.app, delivery.document, self._clock.now())
            attempt = await self._attempt(delivery, request)
            delivery.attempts.append(attempt)
            if attempt.status == 200:
                self._done(delivery, "delivered")
                self._repeat(delivery)
                return
            if wait is None:
                break
            delivery.state = "retrying"
            self.on_change(delivery)
            await self._clock.sleep(wait / self.speed)
        log.warning("event given up after all attempts", app=delivery.app.app_id, event_id=delivery.event_id)
        self._done(delivery, "failed")

    async def _attempt(self, delivery: Delivery, request: Posted) -> Attempt:
        if delivery.app.outage:
            return Attempt(self._clock.now(), 0.0, 0, "outage")
        async with self._slots:
            delivery.state = "sending"
            attempt = await self.post(delivery.app.event_url, request)
        return replace(attempt, answer=attempt.answer[:ANSWER_KEPT])

    def _done(self, delivery: Delivery, state: State) -> None:
        delivery.state = state
        delivery.settled.set()
        self.on_change(delivery)

    def _repeat(self, delivery: Delivery) -> None:
        """Feishu's at-least-once pipeline: what was acknowledged may come again."""
        if delivery.duplicate:
            return
        if self._happens(self.chaos.duplicate):
            self.again(delivery, delay=self._chance.random() * self.chaos.spread)
        if delivery.identity != delivery.event_id and self._happens(self.chaos.duplicate_fresh_id):
            self.again(delivery, fresh_id=True, delay=self._chance.random() * self.chaos.spread)

    def again(self, delivery: Delivery, *, fresh_id: bool = False, delay: float = 0.0) -> Delivery:
        """Deliver an event once more, with the same event id or another one."""
        event_id, document = delivery.event_id, delivery.document
        if fresh_id:
            event_id = f"{self._chance.getrandbits(128):032x}"
            document = {**document, "header": {**document["header"], "event_id": event_id}}
        return self.send(
            delivery.app,
            delivery.event_type,
            event_id,
            document,
            identity=delivery.identity,
            chat_id=delivery.chat_id,
            duplicate="fresh_event" if fresh_id else "same_event",
            delay=delay,
        )

    def _before(self, delivery: Delivery) -> Delivery | None:
        """The delivery that this one has to wait for."""
        if self.chaos.order == "none" or delivery.duplicate:
            return None
        name = delivery.event_type if self.chaos.order == "type" else delivery.chat_id
        key = (delivery.app.app_id, name)
        before = self._last.get(key)
        self._last[key] = delivery
        return before

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._chance.random() < probability

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The cookie jar and the default headers are what a push pipeline has not.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "feishu-playground"},
            )
        return self._session

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def delivery_document(delivery: Delivery, *, with_document: bool = False) -> dict[str, Any]:
    """A delivery as JSON."""
    shown: dict[str, Any] = {
        "serial": delivery.serial,
        "app_id": delivery.app.app_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "identity": delivery.identity,
        "chat_id": delivery.chat_id,
        "state": delivery.state,
        "duplicate": delivery.duplicate,
        "attempts": [
            {"at": a.at, "seconds": round(a.seconds, 6), "status": a.status, "error": a.error}
            for a in delivery.attempts
        ],
    }
    if with_document:
        shown["document"] = delivery.document
    return shown
