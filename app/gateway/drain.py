"""Hands spooled events on to Redis once it is back, each conversation in its order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.gateway.accept import BATCH_BYTES, BATCH_EVENTS, Acceptor, Queue
from app.gateway.spool import Spool
from app.gateway.spool_file import Spooled
from app.queue.work import Receipt

log = get_logger(__name__)

# Takeover is promised within 5 s; the end of an outage should be noticed well before.
_PROBE_EVERY: Final = 0.25
# A bot whose queue is full gets its next try after this.
_FULL_REST: Final = 1.0
# A fault is logged each time.
_FAULT_REST: Final = 5.0


class SpoolDrainer:
    """Probes Redis while it is away, and empties the spool when it is back.

    `probe` is called while Redis is away, or there is nothing to hand on; it raises StoreUnavailable while Redis takes
    no writes.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        queue: Queue,
        spool: Spool | None,
        probe: Callable[[], Awaitable[object]],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._acceptor = acceptor
        self._queue = queue
        self._spool = spool
        self._probe = probe
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled."""
        trouble = self._acceptor.trouble
        if self._spool is not None and self._spool.depth:
            trouble.set()
        while True:
            await trouble.wait()
            try:
                rest = await self._step()
            except StoreUnavailable as error:
                log.debug("spool not drained", error=str(error))
                rest = _PROBE_EVERY
            except Exception:
                # Without this task nothing would ever leave the spool. A newer hub's row ends up here too.
                log.exception("spool not drained")
                rest = _FAULT_REST
            if not self._acceptor.down and (self._spool is None or not self._spool.depth):
                trouble.clear()
            else:
                await self._clock.sleep(rest)

    async def _step(self) -> float:
        """Hand on what is possible, or probe; returns how long to rest before the next step, in seconds."""
        idle = self._spool is None or not self._spool.depth
        if idle or self._acceptor.down:
            await self._probe()
        if self._spool is None or idle:
            self._acceptor.recovered()
            return 0.0
        full: frozenset[str] = frozenset()
        handed = 0
        try:
            while True:
                found = await self._spool.oldest(BATCH_EVENTS, BATCH_BYTES, full)
                if not found and (full or not await self._spool.settled()):
                    break
                count, full = await self._hand_on(self._spool, found, full)
                handed += count
                self._acceptor.park(not full and self._spool.depth < BATCH_EVENTS)
        finally:
            self._acceptor.park(False)
            if handed:
                log.info("spooled events handed on", events=handed, left=self._spool.depth)
        if full:
            return _FULL_REST
        return 0.0 if handed else _PROBE_EVERY

    async def _hand_on(
        self, spool: Spool, found: Sequence[Spooled], full: frozenset[str]
    ) -> tuple[int, frozenset[str]]:
        """Hand on events; how many were, and the bots that take no more for now."""
        done: list[Spooled] = []
        waiting = list(found)
        try:
            while waiting:
                wave, waiting = _first_of_each(waiting)
                results = await self._queue.accept([item.incoming for item in wave])
                failed: StoreUnavailable | None = None
                for item, result in zip(wave, results, strict=True):
                    bot = item.incoming.bot
                    if isinstance(result, Receipt) and result.status not in ("full", "refused"):
                        done.append(item)
                        if bot not in full:
                            self._acceptor.full.discard(bot)
                        continue
                    full |= {bot}
                    if isinstance(result, StoreUnavailable):
                        failed = result
                    else:
                        self._acceptor.full.add(bot)
                waiting = [item for item in waiting if item.incoming.bot not in full]
                if failed is None:
                    self._acceptor.recovered()
        finally:
            # Removed late or, after a crash, not at all: the marks drop what is handed on twice.
            if done:
                await spool.remove(done)
        return len(done), full


def _first_of_each(spooled: Sequence[Spooled]) -> tuple[list[Spooled], list[Spooled]]:
    """The first of every conversation, and the rest.

    Results come one by one: of two events of a conversation in one batch the second could get in without the first.
    """
    first: dict[tuple[str, str], Spooled] = {}
    rest: list[Spooled] = []
    for item in spooled:
        conversation = (item.incoming.bot, item.incoming.entry.conversation)
        if first.setdefault(conversation, item) is not item:
            rest.append(item)
    return list(first.values()), rest
