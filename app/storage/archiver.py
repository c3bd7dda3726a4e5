"""Moves what the log holds into the message store, in batches; a database outage only delays it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Generic, Literal, Protocol, TypeAlias

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StartError, StoreUnavailable
from app.core.logs import get_logger
from app.core.metrics import ARCHIVED
from app.storage.log_entry import E, Log
from app.storage.log_reader import BATCH, ROUND, Batch, LogReader
from app.storage.message import NewMessage
from app.storage.overflow import Overflow

# Between two reads that found less than a batch, so that a trickle does not become a transaction an event.
_LINGER: Final = 0.25
_BLOCK_MS: Final = 1000
# What another archiver read and never stored is looked for this often.
_LEFT_BEHIND_EVERY: Final = 60.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0

Outcome: TypeAlias = Literal["stored", "overflowed", "damaged"]

log = get_logger(__name__)


class MessageSink(Protocol):
    """Where the rows go."""

    async def insert(self, rows: Sequence[NewMessage]) -> None:
        """Store all or none; those already there stay as they are."""
        ...


class Archiver(Generic[E]):
    """Reads the log, stores, and only then tells the log, so that a death in between costs a repetition at most.

    While the database is away a batch is held and tried again; entries beyond `max_lag` go to `overflow`, and from
    there into the database later.
    """

    def __init__(
        self,
        log: Log[E],
        messages: MessageSink,
        overflow: Overflow,
        *,
        bots: Callable[[], Sequence[str]],
        consumer: str,
        max_lag: int = 50_000,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`bots` is asked before every read; `consumer` names this archiver over restarts (the node id)."""
        self._log = log
        self._messages = messages
        self._overflow = overflow
        self._bots = bots
        self._reader = LogReader(log, bots, consumer)
        self._max_lag = max_lag
        self._clock = clock
        self._stopping = asyncio.Event()
        self._left_behind_at = 0.0
        self._retry_at = 0.0
        self._pause_next = _FIRST_PAUSE
        self._surplus = 0
        self._overflowing = False
        self._drain_at = 0.0
        self._ahead: asyncio.Task[Batch[E]] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.away: str | None = None
        """Why the database cannot be used now; None while it can."""
        self.away_since = 0.0
        """Since when not, in monotonic seconds."""
        self.counts: Counter[Outcome] = Counter()
        """Rows of this archiver by what became of them; the metric `hub_archived` has the node's."""

    async def run(self) -> None:
        """Archive until `stop`; whatever goes wrong is logged and tried again, and nothing is lost."""
        self._overflowing = True  # until a look into the file says otherwise
        try:
            while not self._ending():
                try:
                    await self._step()
                except StoreUnavailable as error:
                    log.warning("archiver waits for the log", error=str(error))
                    await self._pause(_FIRST_PAUSE)
                except Exception as error:
                    # The archiver serves all bots: no fault of one entry or one library may end it.
                    log.error("archiving failed, trying again", error=type(error).__name__, exc_info=True)
                    await self._pause(_LONGEST_PAUSE)
            if self._ticking is not None:
                await asyncio.wait([self._ticking])
        finally:
            # What was read and not stored, or stored and not ticked off, stays pending, and is found at the next start.
            for task in filter(None, (self._ahead, self._ticking)):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await self._overflow.close()

    def stop(self) -> None:
        """Let `run` return after the batch in hand; what could not be stored stays in the log."""
        self._stopping.set()

    def _ending(self) -> bool:
        # Before Python 3.12 asyncio.wait_for, which redis-py waits with, can swallow a cancellation that comes
        # together with the reply; the task still counts it.
        task = asyncio.current_task()
        return self._stopping.is_set() or (task is not None and task.cancelling() > 0)

    async def _step(self) -> None:
        ahead, self._ahead = self._ahead, None
        batch = await (ahead or self._read())
        if batch.damaged:
            self._count("damaged", batch.damaged)
        if batch.size >= ROUND and self.away is None:
            # There is more: Redis gives it while the database takes this.
            self._ahead = asyncio.create_task(self._read_new(), name="archiver reads ahead")
        if batch.size and await self._store(batch.rows):
            await self._ticked_off()
            # Redis forgets this batch while the database takes the next.
            self._ticking = asyncio.create_task(self._tick_off(batch.read), name="archiver ticks off")
        if self._drains():
            await self._drain()
        elif 0 < batch.size < ROUND:
            await self._pause(_LINGER)

    async def _read(self) -> Batch[E]:
        if self._clock.monotonic() >= self._left_behind_at:
            # What is stored is not left behind.
            await self._ticked_off()
            batch = await self._reader.left_behind()
            if batch.size:
                return batch
            self._left_behind_at = self._clock.monotonic() + _LEFT_BEHIND_EVERY
        return await self._read_new()

    async def _read_new(self) -> Batch[E]:
        # With work on the disk the log is only glanced at; 0 would mean to wait for ever.
        block_ms = 1 if self._drains() else _BLOCK_MS
        # While the database is away nothing is gained by holding more than a little.
        return await self._reader.new(block_ms, lambda: BATCH if self.away is None else ROUND)

    async def _store(self, rows: Sequence[NewMessage]) -> bool:
        """Bring `rows` into the database or onto the disk; False when the archiver is stopped before."""
        while True:
            if self._database_may_answer() and await self._insert(rows):
                return True
            if await self._over_lag() and await self._put_aside(rows):
                return True
            if self._ending():
                return False
            await self._pause(min(self._retry_at - self._clock.monotonic(), 1.0))

    async def _insert(self, rows: Sequence[NewMessage]) -> bool:
        try:
            await self._messages.insert(rows)
        except (StoreUnavailable, StartError) as error:
            if self.away is None:
                log.warning("database away, the archive waits", error=str(error))
                self.away_since = self._clock.monotonic()
            self.away = str(error)
            self._retry_at = self._clock.monotonic() + self._pause_next
            self._pause_next = min(self._pause_next * 2, _LONGEST_PAUSE)
            return False
        if self.away is not None:
            log.info("database back, the archive catches up")
        self.away, self._pause_next, self._surplus = None, _FIRST_PAUSE, 0
        self._count("stored", len(rows))
        return True

    def _database_may_answer(self) -> bool:
        return self.away is None or self._clock.monotonic() >= self._retry_at

    async def _over_lag(self) -> bool:
        # Counting costs a call to Redis for each bot: the surplus is counted once, and then moved without asking again.
        if self._surplus <= 0:
            try:
                self._surplus = await self._log.lag(self._bots()) - self._max_lag
            except StoreUnavailable:
                return False
        return self._surplus > 0

    async def _put_aside(self, rows: Sequence[NewMessage]) -> bool:
        try:
            await self._overflow.put(rows)
        except StoreUnavailable as error:
            log.error("archive overflow cannot be written, entries stay in the log", error=str(error))
            return False
        if not self._overflowing:
            log.warning("archive lags behind, moving entries to the disk", max_lag=self._max_lag)
        self._overflowing = True
        self._surplus -= len(rows)
        self._count("overflowed", len(rows))
        return True

    async def _tick_off(self, entries: Sequence[tuple[str, str, E]]) -> None:
        while True:
            try:
                await self._log.done(entries)
                return
            except StoreUnavailable as error:
                # Stored but not ticked off: read again after a restart, and then found in the store.
                if self._ending():
                    return
                log.warning("archived entries not ticked off", entries=len(entries), error=str(error))
                await self._pause(_FIRST_PAUSE)

    async def _ticked_off(self) -> None:
        """Wait until the log knows of all that is stored."""
        ticking, self._ticking = self._ticking, None
        if ticking is not None:
            await ticking

    def _drains(self) -> bool:
        return self._overflowing and self._database_may_answer() and self._clock.monotonic() >= self._drain_at

    async def _drain(self) -> None:
        """Move one batch from the disk into the database."""
        try:
            waiting = await self._overflow.first(ROUND)
            if not waiting:
                self._overflowing = False
            elif await self._insert([row for _, row in waiting]):
                await self._overflow.drop([number for number, _ in waiting])
        except StoreUnavailable as error:
            # What the log holds goes on meanwhile.
            self._drain_at = self._clock.monotonic() + _LONGEST_PAUSE
            log.error("archive overflow cannot be read", error=str(error))

    def _count(self, outcome: Outcome, rows: int) -> None:
        self.counts[outcome] += rows
        ARCHIVED.labels(outcome).inc(rows)

    async def _pause(self, seconds: float) -> None:
        """Wait, at most until `stop`."""
        waits = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
