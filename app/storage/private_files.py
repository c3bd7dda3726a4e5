"""Writes small files that only the hub's own user may read, whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_private(path: Path, data: bytes) -> None:
    """Write `data` to `path`, mode 0600, synced, in place of what was there; OSError as the system says."""
    draft = _draft(path, data)
    try:
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def create_private(path: Path, data: bytes) -> None:
    """The same where nothing was; FileExistsError, and nothing changed, when another was first."""
    draft = _draft(path, data)
    try:
        # A link fails where a rename would replace.
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)


def _draft(path: Path, data: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft


def sync_directory(directory: Path) -> None:
    """Write the names in a directory to the disk: without it a power cut can take back that of a synced file."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
