"""Notices changes of files and lets them settle: the kernel's hints first, a slow look behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from watchfiles import awatch

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.logs import get_logger

SETTLE: Final = 0.3
"""Seconds without a change before a change is read: an editor or `cp -r` writes a directory in several steps."""
POLL: Final = 1.5
"""Seconds between looks without a hint: with SETTLE below the 2 s in which a change is to take effect."""
_MOST_SETTLES: Final = 4  # a writer that never stops does not put reading off for ever

log = get_logger(__name__)


class FileWatch:
    """Calls `changed` once `look` has returned something new, twice in a row.

    `look` blocks on the disk and runs in a thread; only what it returns counts, so editors' temporary files wake the
    watch and do nothing more. `path` need not exist yet.
    """

    def __init__(
        self,
        path: Path,
        look: Callable[[], object],
        changed: Callable[[], Awaitable[object]],
        *,
        settle: float = SETTLE,
        poll: float = POLL,
        hints: bool = True,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._path = path
        self._look = look
        self._changed = changed
        self._settle = settle
        self._poll = poll
        self._hints = hints
        self._clock = clock
        self._hinted = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._inode: tuple[int, int] | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        seen = await self._see()
        # What changed between the first reading and this look would never show as a difference.
        await self._act()
        try:
            while True:
                await self._listen()
                try:
                    await asyncio.wait_for(self._hinted.wait(), self._poll)
                except TimeoutError:
                    pass
                self._hinted.clear()
                now = await self._see()
                if now == seen:
                    # A program that keeps writing beside what is watched must not make this a busy loop.
                    await self._clock.sleep(self._settle / 3)
                    continue
                now = await self._settled(now)
                if now != seen:
                    seen = now
                    await self._act()
        finally:
            await self._deafen()

    async def _see(self) -> object:
        try:
            return await asyncio.to_thread(self._look)
        except OSError as exc:
            return exc.errno  # a directory that vanished while it was read

    async def _settled(self, now: object) -> object:
        for _ in range(_MOST_SETTLES):
            await self._clock.sleep(self._settle)
            before, now = now, await self._see()
            if now == before:
                break
        return now

    async def _act(self) -> None:
        try:
            await self._changed()
        except Exception:
            # The watch survives whatever a change leads to.
            log.exception("a change of files could not be put in force", path=str(self._path))

    async def _listen(self) -> None:
        """Listen for the kernel's hints about what is at the path now, if anything."""
        if not self._hints:
            return
        inode = await asyncio.to_thread(_inode, self._path)
        running = self._listening is not None and not self._listening.done()
        if inode == self._inode and (running or inode is None):
            return
        await self._deafen()
        self._inode = inode
        if inode is not None:
            self._listening = asyncio.create_task(self._hear(), name=f"watch {self._path}")

    async def _hear(self) -> None:
        try:
            async for _ in awatch(self._path, watch_filter=None, step=50, debounce=200, rust_timeout=1000):
                self._hinted.set()
        except (OSError, RuntimeError) as exc:
            # Out of inotify watches, or just removed; the slow looks go on.
            log.warning("file hints stopped, changes are found by polling", reason=type(exc).__name__)
            self._hints = isinstance(exc, FileNotFoundError)

    async def _deafen(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
