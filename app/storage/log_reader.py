"""Reads the log for the archiver, in batches of the rows that its entries become."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic

from app.core.logs import get_logger
from app.storage.log_entry import E, Log, fault_of, row_of
from app.storage.message import NewMessage

# The more rows a transaction has, the more of them share a page of an index: a row among 2,000 costs half as much again
# as one among 10,000. Beyond this, memory and the node's loop would pay for it.
BATCH: Final = 5000
_BATCH_BYTES: Final = 16 << 20
ROUND: Final = 250
"""Entries of one read, over all bots, or one of each: they are taken apart in one go, and the loop has to answer
Feishu."""
# Entries of each bot, where they are read bot by bot.
_LEAST_LEFT: Final = 10
# Rows made, in half a millisecond, before the loop is let to others: a whole batch in one go would hold it for twelve.
_BREATH: Final = 200

log = get_logger(__name__)


@dataclass(slots=True)
class Batch(Generic[E]):
    """What was read, and the rows of what can be stored of it."""

    read: list[tuple[str, str, E]] = field(default_factory=list)
    rows: list[NewMessage] = field(default_factory=list)
    bytes: int = 0
    damaged: int = 0

    @property
    def size(self) -> int:
        return len(self.read)


class LogReader(Generic[E]):
    """Reads for one archiver; raises StoreUnavailable while Redis is away."""

    def __init__(self, log: Log[E], bots: Callable[[], Sequence[str]], consumer: str) -> None:
        """`bots` is asked before every read; `consumer` names the archiver across restarts."""
        self._log = log
        self._bots = bots
        self._consumer = consumer

    async def left_behind(self) -> Batch[E]:
        """Entries that this archiver, or one that is gone, read and did not finish."""
        bots = self._bots()
        batch = Batch[E]()
        each = max(ROUND // max(len(bots), 1), _LEAST_LEFT)
        await _take(batch, await self._log.left_behind(bots, self._consumer, each))
        return batch

    async def new(self, block_ms: int, enough: Callable[[], int]) -> Batch[E]:
        """New entries, read until there are no more or there are `enough`; waits up to `block_ms` for the first."""
        batch = Batch[E]()
        bots: Sequence[str] = self._bots()
        while True:
            each = max(ROUND // max(len(bots), 1), 1)
            entries = await self._log.read(bots, self._consumer, each, block_ms)
            await _take(batch, entries)
            # A thousand bots with ten entries each would otherwise be forty rounds in one.
            bots, block_ms = _unread(entries, each), 1
            if not bots or batch.size >= enough() or batch.bytes >= _BATCH_BYTES:
                return batch


async def _take(batch: Batch[E], entries: Sequence[tuple[str, str, E]]) -> None:
    """Put what was read into a batch, as rows."""
    batch.read += entries
    for place, (bot, log_id, entry) in enumerate(entries):
        if place % _BREATH == 0:
            await asyncio.sleep(0)
        fault = fault_of(entry)
        if fault is None:
            batch.rows.append(row_of(bot, entry))
            batch.bytes += len(entry.sealed)
        else:
            batch.damaged += 1
            log.error("log entry left out of the archive, it is damaged", bot=bot, entry=log_id, fault=fault)


def _unread(entries: Sequence[tuple[str, str, E]], each: int) -> list[str]:
    """The bots that may have more than was read of them."""
    return [bot for bot, count in Counter(bot for bot, _, _ in entries).items() if count >= each]
