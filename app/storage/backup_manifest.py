"""What lies in a backup, with the length and digest of every file: whether it is whole can be seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import orjson

from app.core.errors import HubError

FILE_NAME: Final = "manifest.json"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Held:
    """One file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A backup's contents by path; `keys` are the ids of the data keys that it needs and does not hold, by bot."""

    format: int
    hub: str
    created: str
    keys: Mapping[str, list[str]]
    files: Mapping[str, Held]


def write_manifest(directory: Path, keys: Mapping[str, list[str]]) -> Manifest:
    """Describe what lies in `directory`, in a file beside it."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    files = {str(path.relative_to(directory)): _held(path) for path in paths}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(_FORMAT, version("feishu-hub"), now, keys, files)
    (directory / FILE_NAME).write_bytes(orjson.dumps(asdict(manifest), option=orjson.OPT_INDENT_2))
    return manifest


def checked_manifest(directory: Path) -> Manifest:
    """The manifest of a backup, every file of which is there and as it was; HubError that names what is not."""
    try:
        document = orjson.loads((directory / FILE_NAME).read_bytes())
        if document["format"] != _FORMAT:
            raise HubError(
                f"{directory} is of a newer hub ({document['hub']}): restore it with that version or a later one"
            )
        files = {path: Held(**held) for path, held in document["files"].items()}
        manifest = Manifest(**{**document, "files": files})
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        raise HubError(
            f"{directory} is no backup that `feishu-hub backup` made: its {FILE_NAME} cannot be read"
        ) from None
    for name, held in manifest.files.items():
        path = directory / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not path.is_file() or _held(path) != held:
            raise HubError(f"{path} is missing or was changed since the backup was made; nothing was restored")
    return manifest


def _held(path: Path) -> Held:
    with path.open("rb") as file:
        return Held(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
