"""Makes events safe before they are answered: in Redis, many in one round trip, or in the node's spool."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable, Unavailable
from app.core.logs import get_logger
from app.gateway.counts import Counts
from app.gateway.deadlines import Deadlines
from app.gateway.spool import Spool
from app.queue.work import Incoming, Receipt

log = get_logger(__name__)

BATCH_EVENTS: Final = 256
BATCH_BYTES: Final = 1024 * 1024
# Up to this many go out together. Of more, half of all under way: while Redis keeps those, the gateway works on the
# answers to the batch before and the requests that follow, instead of both waiting for each other in turn.
_WHOLE: Final = 16
# Both attempts and a spool write fit into the 1.5 s in which every request is answered.
_COMMIT_TIMEOUT: Final = 0.6
_RETRY_TIMEOUT: Final = 0.3
# Bytes that may wait to be committed; beyond them requests are refused at once instead of filling the memory.
_LARGEST_WAITING: Final = 64 * 1024 * 1024
_RETRY_AFTER: Final = 5.0

Place = Literal["queue", "spool", "none"]


class Queue(Protocol):
    """What a gateway needs of the mailboxes."""

    async def accept(self, batch: Sequence[Incoming]) -> Sequence[Receipt | StoreUnavailable]:
        """Make events safe in one round trip; a result for each. StoreUnavailable if nothing is known of any."""
        ...


Done = Callable[[Receipt | Unavailable], None]


@dataclass(slots=True, eq=False)
class _Request:
    incoming: Incoming
    done: Done | None
    """None once it was called, or if nobody wants to know any more."""

    def end(self, receipt: Receipt | Unavailable) -> None:
        """Tell the asker, once."""
        done, self.done = self.done, None
        if done is not None:
            try:
                done(receipt)
            except Exception:
                log.exception("an event's answer failed")  # and no other event's


class Acceptor:
    """Group commit: what arrives while one commit is in flight goes out together in the next.

    After a commit has failed, events go straight to the spool (`spool` None: are refused) until `recovered` is
    called; while the spool holds events of a bot, the bot's new ones go behind them. Callbacks are never spooled:
    the person who clicked does not wait that long.
    """

    def __init__(
        self, queue: Queue, spool: Spool | None, *, counts: Counts | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._queue = queue
        self._spool = spool
        self._counts = counts or Counts()
        self._deadlines: Deadlines[_Request] = Deadlines(clock, _expire)
        self._waiting: deque[_Request] = deque()
        self._waiting_bytes = 0
        self._last_batch = 0
        self._committer: asyncio.Task[None] | None = None
        self._parking = False
        self._parked: list[_Request] = []
        self._parked_bots: set[str] = set()
        self.down = False
        """Whether the last commit failed, or none may be tried yet, and no probe has succeeded since."""
        self.trouble = asyncio.Event()
        """Set while Redis is away or the spool holds events: there is something to probe or drain."""
        self.full: set[str] = set()
        """Bots whose spooled events wait because their queue is full; the drainer finds out."""

    @property
    def place(self) -> Place:
        """Where an event would be made safe now."""
        return self.fallback if self.down else "queue"

    @property
    def fallback(self) -> Place:
        """Where it would be made safe without Redis."""
        return "none" if self._spool is None or self._spool.full or self._spool.broken else "spool"

    def submit(self, incoming: Incoming, due: float, done: Done) -> None:
        """Have an event made safe; calls `done` once with the result, Unavailable by `due` (monotonic seconds)."""
        self._enter(_Request(incoming, done), due)

    async def accept(self, incoming: Incoming, due: float) -> Receipt:
        """Make an event safe, and await the result."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        def done(receipt: Receipt | Unavailable) -> None:
            if future.done():
                return  # cancelled at this very moment
            if isinstance(receipt, Receipt):
                future.set_result(receipt)
            else:
                future.set_exception(receipt)

        request = _Request(incoming, done)
        self._enter(request, due)
        try:
            return await future
        finally:
            request.done = None  # the caller gave up

    def _enter(self, request: _Request, due: float) -> None:
        if self._waiting_bytes > _LARGEST_WAITING:
            return request.end(_no_place())
        self._waiting.append(request)
        self._waiting_bytes += len(request.incoming.entry.sealed)
        self._deadlines.add(request, due)
        self._wake()

    def recovered(self) -> None:
        """Note that Redis takes writes again."""
        if self.down:
            log.info("queue available again")
        self.down = False

    def park(self, on: bool) -> None:
        """While on, events that would go behind a bot's spooled ones wait in memory, up to their deadlines.

        A spool whose last events are being drained would never be empty if busy bots kept writing to it.
        """
        self._parking = on
        if not on and self._parked:
            self._waiting.extendleft(reversed(self._parked))
            self._waiting_bytes += sum(len(request.incoming.entry.sealed) for request in self._parked)
            self._parked.clear()
            self._parked_bots.clear()
            self._wake()

    async def close(self) -> None:
        """Wait until all requests are answered."""
        while self._committer is not None:
            await asyncio.gather(self._committer, return_exceptions=True)

    def _wake(self) -> None:
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all(), name="group commit")

    async def _commit_all(self) -> None:
        try:
            while self._waiting:
                batch, behind = self._form()
                if behind:
                    self._to_spool(behind)
                if batch:
                    await self._commit(batch)
        finally:
            self._committer = None

    def _form(self) -> tuple[list[_Request], list[_Request]]:
        """The next batch for Redis, and the requests met on the way that belong in the spool.

        Decided here and not on arrival, since the batch before may have ended in the spool.
        """
        batch: list[_Request] = []
        behind: list[_Request] = []
        size = 0
        waiting, spool = self._waiting, self._spool
        limit = min(BATCH_EVENTS, max(_WHOLE, (len(waiting) + self._last_batch + 1) // 2))
        while waiting and len(batch) < limit and len(behind) < BATCH_EVENTS:
            incoming = waiting[0].incoming
            length = len(incoming.entry.sealed)
            if batch and size + length > BATCH_BYTES:
                break
            request = waiting.popleft()
            self._waiting_bytes -= length
            if request.done is None:
                continue
            if self.down:
                behind.append(request)
            elif incoming.entry.kind == "call" or not (
                incoming.bot in self._parked_bots or (spool is not None and spool.holds(incoming.bot))
            ):
                batch.append(request)
                size += length
            elif incoming.bot in self.full:
                # Behind its spooled events it would get past the bound of its queue.
                self._end(request, Receipt("full"))
            elif self._parking:
                self._parked.append(request)
                self._parked_bots.add(incoming.bot)
            else:
                behind.append(request)
        self._last_batch = len(batch)
        return batch, behind

    async def _commit(self, batch: list[_Request]) -> None:
        self._counts.commits += 1
        error, answered = await self._attempt(batch, _COMMIT_TIMEOUT, again=False)
        if error is None:
            return
        # The reply may be lost and the write not; asked again, the marks of the first attempt answer "duplicate".
        batch = _open(batch)
        error, answered_now = await self._attempt(batch, _RETRY_TIMEOUT, again=True)
        if error is None:
            return
        self._counts.commit_failures += 1
        log.warning("queue unavailable", error=str(error), events=len(batch), spool=self._spool is not None)
        # If some were answered, only part of a cluster is away: its bots go to the spool, the others go on.
        self.down = not (answered or answered_now)
        self.trouble.set()
        self._to_spool(_open(batch))

    async def _attempt(
        self, batch: Sequence[_Request], timeout: float, *, again: bool
    ) -> tuple[StoreUnavailable | None, bool]:
        """Make one round trip; why some events have no answer yet, and whether any has."""
        if not batch:
            return None, True
        try:
            async with asyncio.timeout(timeout):
                results = await self._queue.accept([request.incoming for request in batch])
        except StoreUnavailable as error:
            return error, False
        except TimeoutError:
            return StoreUnavailable(f"Redis did not answer within {timeout} s"), False
        except Exception as error:
            # Whatever is wrong with it, the queue has not taken these events, and the spool still can.
            log.exception("accept failed")
            return StoreUnavailable(f"accept failed: {type(error).__name__}"), False
        failed: StoreUnavailable | None = None
        answered = False
        for request, result in zip(batch, results, strict=True):
            if isinstance(result, StoreUnavailable):
                failed = result
                continue
            answered = True
            was_lost = again and result.status == "duplicate"
            self._end(request, Receipt("accepted", result.log_id) if was_lost else result)
        return failed, answered

    def _to_spool(self, requests: Sequence[_Request]) -> None:
        events = [request for request in requests if request.incoming.entry.kind != "call"]
        if len(events) < len(requests):
            self._refuse([request for request in requests if request.incoming.entry.kind == "call"])
        if not events:
            return
        if self._spool is None:
            return self._refuse(events)
        try:
            written = self._spool.put([request.incoming for request in events])
        except StoreUnavailable as error:
            log.warning("events refused", error=str(error), events=len(events))
            return self._refuse(events)
        self.trouble.set()
        written.add_done_callback(lambda done: self._spooled(events, done))

    def _spooled(self, events: Sequence[_Request], done: asyncio.Future[list[bool]]) -> None:
        if done.cancelled() or done.exception() is not None:
            return self._refuse(events)
        for request, new in zip(events, done.result(), strict=True):
            if new:
                self._counts.spooled[request.incoming.bot] += 1
            self._end(request, Receipt("accepted" if new else "duplicate"))

    def _refuse(self, requests: Sequence[_Request]) -> None:
        for request in requests:
            self._end(request, _no_place())

    def _end(self, request: _Request, receipt: Receipt | Unavailable) -> None:
        self._deadlines.remove(request)
        request.end(receipt)


def _open(requests: Sequence[_Request]) -> list[_Request]:
    return [request for request in requests if request.done is not None]


def _expire(request: _Request) -> None:
    request.end(_no_place())


def _no_place() -> Unavailable:
    return Unavailable("the event cannot be kept safe now, send it again later", retry_after=_RETRY_AFTER)
