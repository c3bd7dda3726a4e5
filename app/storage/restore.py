"""Puts a backup into an empty data directory."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path
from typing import Final

from app.core.errors import HubError
from app.storage.backup import DATABASE, OVERFLOW, SPOOL, is_packed
from app.storage.backup_manifest import Manifest, checked_manifest
from app.storage.backup_scratch import ENGINE
from app.storage.master_key import FILE_NAME as MASTER_KEY

# What an operator may have put there before.
_MAY_BE_THERE: Final = frozenset({MASTER_KEY, "admin_token", "node_id"})
_SCRATCH: Final = "restore.scratch"


def restore(backup: Path, data_dir: Path, database: Path | None) -> Manifest:
    """Check the backup whole, then put its files in place; HubError, and nothing changed, when either cannot be.

    `database` is where SQLite's file is to go, None where the messages lie elsewhere.
    """
    packed = is_packed(backup)
    if not backup.exists():
        raise HubError(f"{backup}: there is no such backup; nothing was changed")
    if backup.is_dir() == packed:
        what = "a directory, by its name a file" if packed else "a file, by its name a directory"
        raise HubError(f"{backup} is {what} (.tar, .tar.gz, .tgz): is it what `feishu-hub backup` wrote?")
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = data_dir / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    if there := sorted(path.name for path in data_dir.iterdir() if path.name not in _MAY_BE_THERE):
        raise HubError(
            f"{data_dir} is not empty (it holds {', '.join(there[:5])}): stop the hub that runs on it and move it "
            "away, or restore into another directory (--data-dir); nothing was changed"
        )
    if database is not None and database.exists():
        raise HubError(f"{database} is there already: move it away; nothing was changed")
    try:
        source = backup
        if packed:
            _unpack(backup, scratch)
            source = scratch
        manifest = checked_manifest(source)
        places = {SPOOL: data_dir / SPOOL, OVERFLOW: data_dir / OVERFLOW, ENGINE: data_dir / ENGINE}
        if database is not None:
            places[DATABASE] = database
        # The engine last: without it no hub has run here, and what a killed restore left is seen.
        for name in (DATABASE, OVERFLOW, SPOOL, ENGINE):
            if name in places and (source / name).exists():
                _put(source / name, places[name])
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise HubError(f"{backup} could not be restored, it may be cut off or damaged: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def _unpack(backup: Path, directory: Path) -> None:
    """By hand: the filter that refuses what leads out of a directory came with Python 3.11.4."""
    directory.mkdir(mode=0o700)
    with tarfile.open(backup) as tar:
        for member in tar:
            name = Path(member.name)
            if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
                raise HubError(f"{backup} holds {member.name!r}, which no backup does; nothing was changed")
            place = directory / name
            if member.isdir():
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
                continue
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            place.touch(mode=0o600)
            content = tar.extractfile(member)
            assert content is not None
            with content, place.open("wb") as file:
                shutil.copyfileobj(content, file)


def _put(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
        target.chmod(0o700)
    else:
        shutil.copyfile(source, target)
        target.chmod(0o600)
