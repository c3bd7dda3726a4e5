"""A thread that extends this worker's leases, whether or not bot code blocks the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

import redis

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.outage import guard
from app.queue.claims import Claims
from app.queue.leases import keep_alive
from app.queue.work import Work
from app.worker.outcome import place_of

BEAT: Final = 1.0

log = get_logger(__name__)


class Heartbeat:
    """Beats once a second from `start` until `stop`; outlives every outage of Redis."""

    def __init__(
        self,
        claims: Claims,
        keys: Keys,
        open_client: Callable[[], Any],
        *,
        lease_ms: int,
        interval: float = BEAT,
    ) -> None:
        """`open_client` makes a synchronous redis client, used by this thread alone."""
        self._claims = claims
        self._keys = keys
        self._open_client = open_client
        self._lease_ms = lease_ms
        self._interval = interval
        self._suspected: set[tuple[str, str]] = set()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin; needs a running loop, which hears of lost claims."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End, after the beat that is under way."""
        self._ended.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 2.0)

    def _beat(self) -> None:
        client: Any = None
        away = False
        while not self._ended.wait(self._interval):
            try:
                if client is None:
                    with guard():
                        client = self._open_client()  # a Cluster's asks for its layout at once
                lost = self._extend(client)
                away = False
            except StoreUnavailable as error:
                if not away:
                    log.warning("leases not extended, Redis is away", error=str(error))
                away = True
                continue
            except Exception as error:
                # Without this thread every claim of the worker would expire again and again.
                log.error("leases not extended, this is a fault of the hub", place=place_of(error))
                continue
            if lost and self._loop is not None:
                try:
                    self._loop.call_soon_threadsafe(self._report, lost)
                except RuntimeError:
                    break  # the loop is closed: the process is ending
        if client is not None:
            client.close()

    def _extend(self, client: redis.Redis) -> list[Work]:
        gone_now = keep_alive(client, self._keys, self._claims.living(), lease_ms=self._lease_ms)
        # A claim that ended between the look here and the script there is not lost; a lost one still is next time.
        lost = [work for work in gone_now if (work.bot, work.claim) in self._suspected]
        self._suspected = {(work.bot, work.claim) for work in gone_now}
        return lost

    def _report(self, lost: Iterable[Work]) -> None:
        for work in lost:
            self._claims.lost(work)
