"""A backup of a hub with an engine of its own, made while it runs: spool, engine, overflow, database; no keys."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from app.core.errors import HubError
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.storage.backup_manifest import Manifest, write_manifest
from app.storage.backup_scratch import ENGINE, backup_scratch
from app.storage.data_key import DataKey
from app.storage.engine_copy import copy_engine

DATABASE: Final = "hub.db"
SPOOL: Final = "spool.db"
OVERFLOW: Final = "archive-overflow.db"
_PACKED: Final = (".tar", ".tar.gz", ".tgz")
# Whoever gives a backup such a name means a kind of file that is not written here.
_OTHER_FILES: Final = (
    ".zip",
    ".gz",
    ".bz2",
    ".xz",
    ".zst",
    ".7z",
    ".rar",
    ".tbz",
    ".tbz2",
    ".txz",
    ".bak",
    ".db",
    ".aof",
)


def is_packed(path: Path) -> bool:
    """Whether a backup of this name is one file; HubError for a name that is neither a file's nor a directory's."""
    name = path.name.lower()
    if name.endswith(_OTHER_FILES) and not name.endswith(_PACKED) and not path.is_dir():
        raise HubError(f"{path}: a backup is a directory, or a file that ends in .tar, .tar.gz or .tgz; name it so")
    return name.endswith(_PACKED)


async def make_backup(
    target: Path,
    data_dir: Path,
    database: Path | None,
    link: RedisLink,
    keys: Keys,
    held: Mapping[str, Sequence[DataKey]],
) -> Manifest:
    """Write a backup to `target`, a directory or a .tar file; HubError where something stands already.

    `database` is SQLite's file, None where the messages lie elsewhere. `held` are all data keys there are.
    """
    ids = {bot: [key.key_id for key in known] for bot, known in held.items()}
    try:
        with backup_scratch(data_dir) as scratch:
            made = scratch / "backup"
            await asyncio.to_thread(_begin, target, made)
            # In the direction in which events move: one that moves on meanwhile is copied twice and known by its id,
            # never missed.
            await asyncio.to_thread(_copy_sqlite, data_dir / SPOOL, made / SPOOL)
            files = await copy_engine(link, keys, data_dir / ENGINE, scratch / "copy", ids)
            (made / ENGINE).mkdir(mode=0o700)
            shutil.move(files, made / ENGINE / files.name)
            await asyncio.to_thread(_copy_sqlite, data_dir / OVERFLOW, made / OVERFLOW)
            if database is not None:
                await asyncio.to_thread(_copy_database, database, made / DATABASE)
            wanting = {bot: [key_id.hex() for key_id in known] for bot, known in ids.items()}
            manifest = await asyncio.to_thread(write_manifest, made, wanting)
            await asyncio.to_thread(_deliver, made, target)
            return manifest
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        raise HubError(f"the backup could not be made: {error}") from error


def _begin(target: Path, made: Path) -> None:
    if target.exists():
        raise HubError(f"{target} is there already: name another file or directory")
    made.mkdir(parents=True, mode=0o700)


def _copy_sqlite(source: Path, target: Path) -> None:
    """A copy of a file that others write to, as it is at one instant, without what was deleted in it."""
    if not source.exists():
        return
    connection = sqlite3.connect(source, timeout=30)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()
    target.chmod(0o600)


def _copy_database(source: Path, target: Path) -> None:
    _copy_sqlite(source, target)
    if not target.exists():
        return
    connection = sqlite3.connect(target, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA secure_delete = ON")
        # What stands for shredded keys stays: they must not come back with an old export.
        connection.execute("DELETE FROM data_keys WHERE length(wrapped) > 0")
    finally:
        connection.close()


def _deliver(made: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not is_packed(target):
        shutil.move(made, target)
        return
    packed = made.parent / target.name
    mode = "w" if target.suffix.lower() == ".tar" else "w:gz"
    with tarfile.open(packed, mode) as tar:  # type: ignore[call-overload]
        tar.add(made, arcname=".")
    packed.chmod(0o600)
    shutil.move(packed, target)
