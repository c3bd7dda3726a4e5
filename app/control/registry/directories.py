"""Finds the directories of bots, and tells cheaply when one has changed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from app.model.bot import BOT_ID

CONFIG: Final = "config.yaml"
CREDENTIALS: Final = "credentials.yaml"
EXAMPLE: Final = "credentials.yaml.example"
_NAMES: Final = (CONFIG, CREDENTIALS, EXAMPLE)
_MISSING: Final = (errno.ENOENT,)

Stamp = tuple[Any, ...]
"""Compared with another: equal stamps mean that nothing was changed in between."""


def is_one_bot(directory: Path) -> bool:
    """Whether DIR of `-c DIR` is one bot rather than a root of many: it holds a bot's own files."""
    return any((directory / name).is_file() for name in (CREDENTIALS, CONFIG))


def hub_file(directory: Path) -> Path:
    """hub.yaml of DIR; one bot that has none of its own is run by that of the directory around it."""
    own = directory / "hub.yaml"
    if own.exists() or not is_one_bot(directory):
        return own
    return Path(os.path.abspath(directory)).parent / "hub.yaml"


def bot_id_of(directory: Path) -> str:
    """The directory's name in its path, so that a symbolic link gives its own name."""
    return Path(os.path.abspath(directory)).name


def bot_directories(root: Path) -> Mapping[str, Path]:
    """Directories below `root` that hold a bot's files, by name; raises OSError when `root` cannot be read."""
    return {name: root / name for name in sorted(bot_stamps(root))}


def bot_stamps(root: Path) -> dict[str, Stamp]:
    """The state of each bot's own files, by the name of its directory; taken again and again.

    Names that begin with `.` or `_` are skipped, and so are directories without any of the files (yet); a name that is
    no bot id is kept, so that it can be reported. A directory that cannot be looked into may have been a bot yesterday.
    """
    found: dict[str, Stamp] = {}
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith((".", "_")) or not _may_be_directory(entry):
                continue
            stamp = stamp_of(entry.path)
            there = [state for state in stamp if state != _MISSING]
            # `lost+found` and its like, which are nobody's bot, cannot be looked into either.
            if there and (is_bot_id(entry.name) or any(len(state) > 1 for state in there)):
                found[entry.name] = stamp
    return found


def stamp_of(directory: Path | str) -> Stamp:
    """The state of a bot's own files; follows links. The example matters only if there are no credentials."""
    config, credentials = _stamp(f"{directory}/{CONFIG}"), _stamp(f"{directory}/{CREDENTIALS}")
    if credentials != _MISSING:
        return config, credentials
    return config, credentials, _stamp(f"{directory}/{EXAMPLE}")


def mounted_stamp(files: Iterable[Path]) -> Stamp:
    """The state of the files that `file:` values name."""
    return tuple(_stamp(path) for path in files)


def code_stamp(directories: Iterable[Path]) -> Stamp:
    """The state of all Python files in directories of handlers."""
    return tuple(
        (str(path), _stamp(path))
        for directory in directories
        for path in sorted(directory.rglob("*.py"))
        if "__pycache__" not in path.parts
    )


def is_bot_id(name: str) -> bool:
    """Whether a directory's name can be a bot id."""
    return BOT_ID.match(name) is not None


def is_missing(path: Path) -> bool:
    """Whether there is no such file; one that cannot be looked at may be there."""
    return _stamp(path) == _MISSING


def _may_be_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return True  # a link into what cannot be entered, or to itself


def _stamp(path: Path | str) -> Stamp:
    try:
        stat = os.stat(path)
    except OSError as exc:
        return (exc.errno,)
    # The inode shows renames and swapped links, ctime a change that kept size and mtime.
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_mode)
