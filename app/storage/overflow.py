"""The archive's waiting room on disk: sealed rows that neither the log nor the database has room for now."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from app.core.errors import StoreUnavailable
from app.storage.cipher import KEY_ID_LENGTH
from app.storage.message import NewMessage
from app.storage.private_files import create_private

FILE_NAME: Final = "archive-overflow.db"

_PAGE_SIZE: Final = 4096
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS waiting (
    bot TEXT NOT NULL, key TEXT NOT NULL, direction TEXT NOT NULL, type TEXT NOT NULL, chat_id TEXT NOT NULL,
    user_id TEXT NOT NULL, message_id TEXT NOT NULL, created INTEGER NOT NULL, sealed BLOB NOT NULL,
    UNIQUE (bot, key)
)
"""

T = TypeVar("T")


class Overflow:
    """One SQLite file, synced on every write and gone when it is empty; calls raise StoreUnavailable.

    `max_size` is in bytes: a disk that runs full would take the embedded engine down.
    """

    def __init__(self, path: Path, *, max_size: int = 1 << 30) -> None:
        self._path = path
        self._max_pages = max(max_size // _PAGE_SIZE, 16)
        self._connection: sqlite3.Connection | None = None
        # One thread: the connection belongs to it, and disk time never holds up the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive-overflow")

    async def put(self, rows: Sequence[NewMessage]) -> None:
        """Keep `rows`; they are on the disk when this returns. Those already there stay as they are."""
        await self._run(partial(self._put, rows))

    async def first(self, limit: int) -> list[tuple[int, NewMessage]]:
        """The rows that wait longest, with the numbers that `drop` takes."""
        return await self._run(partial(self._first, limit))

    async def drop(self, numbers: Sequence[int]) -> None:
        """Forget rows that are in the database now; the file goes with the last one."""
        await self._run(partial(self._drop, numbers))

    async def forget(self, bot: str, key_ids: frozenset[bytes]) -> None:
        """Delete a bot's rows that are sealed under data keys which were shredded."""
        await self._run(partial(self._forget, bot, tuple(key_ids)))

    async def count(self) -> int:
        """How many rows wait."""
        return await self._run(self._count)

    async def close(self) -> None:
        """Close the file; what waits in it is found at the next start."""
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, step: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, step)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(
                f"{self._path}: archived messages cannot be moved here: {error}; check the disk, and if the file is "
                "damaged move it away"
            ) from error

    def _put(self, rows: Sequence[NewMessage]) -> None:
        marks = ", ".join("?" * len(NewMessage._fields))
        with self._opened() as connection:
            connection.executemany(f"INSERT OR IGNORE INTO waiting VALUES ({marks})", rows)

    def _first(self, limit: int) -> list[tuple[int, NewMessage]]:
        if not self._path.exists():
            return []
        query = "SELECT rowid, * FROM waiting ORDER BY rowid LIMIT ?"
        return [(row[0], NewMessage(*row[1:])) for row in self._opened().execute(query, (limit,))]

    def _drop(self, numbers: Sequence[int]) -> None:
        with self._opened() as connection:
            connection.executemany("DELETE FROM waiting WHERE rowid = ?", [(number,) for number in numbers])
        self._end_if_empty()

    def _forget(self, bot: str, key_ids: tuple[bytes, ...]) -> None:
        if not self._path.exists():
            return
        marks = ", ".join("?" * len(key_ids))
        query = f"DELETE FROM waiting WHERE bot = ? AND substr(sealed, 2, {KEY_ID_LENGTH}) IN ({marks})"
        with self._opened() as connection:
            connection.execute(query, (bot, *key_ids))
        self._end_if_empty()

    def _end_if_empty(self) -> None:
        if self._count() == 0:
            # Deleted rows stay readable in the file's free pages: only its end gives disk and secrecy back.
            self._close()
            self._path.unlink(missing_ok=True)

    def _count(self) -> int:
        if not self._path.exists():
            return 0
        (count,) = self._opened().execute("SELECT count(*) FROM waiting").fetchone()
        return int(count)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                create_private(self._path, b"")
            except FileExistsError:
                pass
            connection = sqlite3.connect(self._path)
            try:
                # The rollback journal, not WAL: one file to guard and to remove, and few, large transactions.
                connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA max_page_count = {self._max_pages}")
                connection.execute(_TABLE)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
