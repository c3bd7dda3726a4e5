"""Keeps accepted events on the node's own disk while Redis is away: synced, bounded, in order."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from app.core.errors import StartError, StoreUnavailable
from app.core.logs import get_logger
from app.gateway.spool_file import Spooled, SpoolFile, size_of
from app.queue.work import Incoming

log = get_logger(__name__)
T = TypeVar("T")

# What a longish event takes: refusing one for its size alone does not make the spool full.
_ORDINARY: Final = 4096
# Bytes: waiting for a disk that hangs must not fill the memory.
_LARGEST_PENDING: Final = 64 * 1024 * 1024


@dataclass(slots=True)
class _Pending:
    batch: Sequence[Incoming]
    size: int
    done: asyncio.Future[list[bool]]


class Spool:
    """Events that Redis could not take; what `put` has confirmed survives SIGKILL and power loss.

    Payloads arrive sealed and stay so. A file belongs to one process, which holds its lock.
    """

    def __init__(self, path: Path, max_size: int) -> None:
        self._path = path
        self._max_size = max_size
        # SQLite blocks while the disk syncs, and its connection stays in the thread that made it.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._file: SpoolFile | None = None
        self._held: Counter[str] = Counter()
        self._pending: deque[_Pending] = deque()
        self._pending_size = 0
        self._writer: asyncio.Task[None] | None = None
        self.bytes = 0
        """Bytes of the spooled events, including those about to be written."""
        self.broken = False
        """The last write failed."""

    async def open(self) -> None:
        """Open or make the file and count what an earlier process left; StartError if it cannot be used."""
        try:
            self._file = await self._in_thread(lambda: SpoolFile(self._path))
            totals = await self._in_thread(self._opened.totals)
        except (sqlite3.Error, OSError) as error:
            raise StartError(
                f"spool {self._path} cannot be opened: {error}; if another hub runs on this data directory, give "
                "this one its own (data_dir); if the file is damaged, move it away (its events are lost then)"
            ) from error
        for bot, count, size in totals:
            self._held[bot] = count
            self.bytes += size
        if self.depth:
            log.warning("events in the spool from before the start", events=self.depth, bytes=self.bytes)

    async def close(self) -> None:
        """Finish what is being written and close the file."""
        while await self.settled():
            pass
        if self._file is not None:
            await self._in_thread(self._file.close)
            self._file = None
        self._thread.shutdown()

    @property
    def depth(self) -> int:
        """How many events it holds, including those about to be written."""
        return self._held.total()

    @property
    def full(self) -> bool:
        """Whether there is no room for an ordinary event."""
        return self.bytes + _ORDINARY > self._max_size

    def holds(self, bot: str) -> bool:
        """Whether it holds events of the bot, behind which its new ones must go."""
        return bot in self._held

    def put(self, batch: Sequence[Incoming]) -> asyncio.Future[list[bool]]:
        """Take events in order; once they are on disk, the future says for each whether it is new here.

        From this call on `holds` is true for their bots. StoreUnavailable, raised or in the future, if the spool is
        full or the disk fails.
        """
        size = sum(map(size_of, batch))
        if self.bytes + size > self._max_size:
            raise StoreUnavailable(f"the spool is full (spool.max_size, {self._max_size} bytes)")
        if self._pending_size + size > _LARGEST_PENDING:
            raise StoreUnavailable(f"spool {self._path}: the disk is too slow for what arrives")
        pending = _Pending(batch, size, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        self._pending_size += size
        self.bytes += size
        self._held.update(incoming.bot for incoming in batch)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="spool writer")
        return pending.done

    async def settled(self) -> bool:
        """Wait until what is being written is on disk; False if nothing was."""
        if self._writer is None:
            return False
        await asyncio.gather(self._writer, return_exceptions=True)
        return True

    async def oldest(self, limit: int, max_bytes: int, without: frozenset[str] = frozenset()) -> list[Spooled]:
        """The first events in order (at least one, then up to both bounds), leaving out the bots in `without`."""
        return await self._guarded(lambda: self._opened.oldest(limit, max_bytes, without))

    async def remove(self, spooled: Sequence[Spooled]) -> None:
        """Remove events that were handed on."""
        places = [item.place for item in spooled]
        there = await self._guarded(lambda: self._opened.remove(places))
        for item, was_there in zip(spooled, there, strict=True):
            if was_there:
                self._release(item.incoming)

    async def forget(self, bot: str, key_ids: frozenset[bytes]) -> None:
        """Delete a bot's events that are sealed under shredded data keys."""
        count, size = await self._guarded(lambda: self._opened.forget(bot, key_ids))
        self.bytes -= size
        self._held[bot] -= count
        if self._held[bot] <= 0:
            del self._held[bot]

    @property
    def _opened(self) -> SpoolFile:
        if self._file is None:
            raise sqlite3.ProgrammingError("it is not open")
        return self._file

    async def _write_all(self) -> None:
        """Write what is pending, each time with one sync, until nothing is."""
        try:
            while self._pending:
                taken = list(self._pending)
                self._pending.clear()
                await self._write(taken, [incoming for pending in taken for incoming in pending.batch])
        finally:
            self._writer = None

    async def _write(self, taken: Sequence[_Pending], items: Sequence[Incoming]) -> None:
        try:
            new = await self._guarded(lambda: self._opened.insert(items))
        except StoreUnavailable as error:
            self.broken = True
            log.error("spool not written", events=len(items), error=str(error))
            self._settle(taken, [False] * len(items), error)
        else:
            self.broken = False
            self._settle(taken, new, None)

    def _settle(self, taken: Sequence[_Pending], kept: Sequence[bool], error: StoreUnavailable | None) -> None:
        at = 0
        for pending in taken:
            mine = list(kept[at : at + len(pending.batch)])
            at += len(pending.batch)
            self._pending_size -= pending.size
            for incoming, is_kept in zip(pending.batch, mine, strict=True):
                if not is_kept:
                    self._release(incoming)
            if pending.done.done():
                continue
            if error is None:
                pending.done.set_result(mine)
            else:
                pending.done.set_exception(error)

    def _release(self, incoming: Incoming) -> None:
        self.bytes -= size_of(incoming)
        self._held[incoming.bot] -= 1
        if self._held[incoming.bot] <= 0:
            del self._held[incoming.bot]

    async def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return await self._in_thread(work)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"spool {self._path}: {error}; check the disk") from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
