"""The spool's SQLite file: its methods block, and one thread calls them."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from app.queue.envelope import Entry
from app.queue.work import Incoming
from app.storage.cipher import KEY_ID_LENGTH
from app.storage.private_files import sync_directory

_FORMAT: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bot TEXT NOT NULL,
    event_id TEXT NOT NULL,
    terms TEXT NOT NULL,
    entry BLOB NOT NULL,
    sealed BLOB NOT NULL,
    size INTEGER NOT NULL,
    UNIQUE (bot, event_id)
)
"""
_INSERT: Final = "INSERT OR IGNORE INTO spool (bot, event_id, terms, entry, sealed, size) VALUES (?,?,?,?,?,?)"
# Bytes of a row beside its payload: ids, index, page headers.
_ROW_OVERHEAD: Final = 512


@dataclass(frozen=True, slots=True)
class Spooled:
    """One event in the spool and its place in the order."""

    place: int
    incoming: Incoming


def size_of(incoming: Incoming) -> int:
    """About how many bytes an event takes in the file."""
    return len(incoming.entry.sealed) + _ROW_OVERHEAD


class SpoolFile:
    """One open file; every method raises sqlite3.Error or OSError when the disk or the file fails."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it with mode 0600."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # A lock beside the file and not SQLite's own, so that a backup can read while this process writes.
        self._lock = _owned(path.with_suffix(".lock"))
        self._database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        sync_directory(path.parent)

    def close(self) -> None:
        """Close the file and release its lock."""
        self._database.close()
        os.close(self._lock)

    def totals(self) -> list[tuple[str, int, int]]:
        """Its bots, each with its number of events and their bytes."""
        return self._database.execute("SELECT bot, count(*), sum(size) FROM spool GROUP BY bot").fetchall()

    def insert(self, items: Sequence[Incoming]) -> list[bool]:
        """Add events with one sync, all or none; says for each whether it is new here."""
        with self._writing():
            # An event that is here already and that Feishu repeats must not take room twice.
            return [self._database.execute(_INSERT, _row(item)).rowcount > 0 for item in items]

    def oldest(self, limit: int, max_bytes: int, without: frozenset[str]) -> list[Spooled]:
        """The first events in order (at least one, then up to both bounds), leaving out the bots in `without`."""
        marks = ",".join("?" * len(without))
        rows = self._database.execute(
            f"SELECT id, bot, terms, entry, sealed, size FROM spool WHERE bot NOT IN ({marks}) ORDER BY id LIMIT ?",
            (*without, limit),
        )
        found: list[Spooled] = []
        total = 0
        for place, bot, terms, entry, sealed, size in rows:
            total += size
            if found and total > max_bytes:
                break
            seen, ttl, queue_size = orjson.loads(terms)
            incoming = Incoming(bot, Entry.unpacked(entry, sealed), tuple(seen), ttl, queue_size)
            found.append(Spooled(place, incoming))
        return found

    def remove(self, places: Sequence[int]) -> list[bool]:
        """Delete events; says for each whether it was still there. An emptied file gives its room back to the disk."""
        with self._writing():
            there = [self._database.execute("DELETE FROM spool WHERE id=?", (place,)).rowcount > 0 for place in places]
        self._shrink()
        return there

    def forget(self, bot: str, key_ids: Iterable[bytes]) -> tuple[int, int]:
        """Delete a bot's events sealed under these data keys; how many, and their bytes."""
        keys = list(key_ids)
        marks = ",".join("?" * len(keys))
        where = f"FROM spool WHERE bot=? AND substr(sealed,2,{KEY_ID_LENGTH}) IN ({marks})"
        with self._writing():
            count, size = self._database.execute(
                f"SELECT count(*), coalesce(sum(size),0) {where}", (bot, *keys)
            ).fetchone()
            self._database.execute(f"DELETE {where}", (bot, *keys))
        self._shrink()
        return count, size

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _shrink(self) -> None:
        if self._database.execute("SELECT 1 FROM spool LIMIT 1").fetchone() is None:
            # As a script, since `execute` would take one step and free one page.
            self._database.executescript("PRAGMA incremental_vacuum")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _prepare(self) -> None:
        self._database.execute("PRAGMA auto_vacuum=INCREMENTAL")
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        # What is deleted is overwritten, whether or not the library was built to do so.
        self._database.execute("PRAGMA secure_delete=ON")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _FORMAT):
            raise sqlite3.DatabaseError(f"it has format {version}, this hub reads {_FORMAT}")
        self._database.execute(_SCHEMA)
        self._database.execute(f"PRAGMA user_version={_FORMAT}")


def _row(item: Incoming) -> tuple[str, str, str, bytes, bytes, int]:
    terms = orjson.dumps((item.seen, item.ttl, item.queue_size)).decode()
    return item.bot, item.entry.event_id, terms, item.entry.packed(), item.entry.sealed, size_of(item)


def _owned(path: Path) -> int:
    """Take the lock that says whose spool this is, until closed: two hubs must not drain one spool."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise sqlite3.OperationalError("another process has it open") from error
    return lock
