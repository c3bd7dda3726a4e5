"""The master key that wraps every bot's data keys: where it comes from, and how it is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.core.errors import SealBroken, StartError
from app.core.logs import get_logger
from app.storage.private_files import create_private

FILE_NAME: Final = "master.key"
KEYS_DIRECTORY: Final = "keys"
"""Where a data directory holds the wrapped copies of the bots' data keys."""

log = get_logger(__name__)


class MasterKey:
    """One or several Fernet keys: the first wraps, all unwrap (several while one is being replaced)."""

    __slots__ = ("_fernet", "source")

    def __init__(self, keys: Sequence[str], source: str) -> None:
        """`source` says in messages where the keys are from; StartError when one of them is no Fernet key."""
        self.source = source
        fernets: list[Fernet] = []
        for position, key in enumerate(keys, 1):
            try:
                fernets.append(Fernet(key))
            except ValueError:
                # The library's own message is not passed on: it is not ours to promise that it shows no key.
                raise StartError(
                    f"{source}: key {position} of {len(keys)} is not a master key (44 characters of url-safe "
                    "base64); make one with `feishu-hub keys make`"
                ) from None
        if not fernets:
            raise StartError(f"{source}: holds no master key; make one with `feishu-hub keys make`")
        self._fernet = MultiFernet(fernets)

    def wrap(self, plain: bytes) -> bytes:
        """Wrap under the first key."""
        return self._fernet.encrypt(plain)

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped under any of the keys; SealBroken when none opens it."""
        try:
            return self._fernet.decrypt(wrapped)
        except InvalidToken:
            raise SealBroken(f"does not open under the master key of {self.source}") from None

    def __repr__(self) -> str:
        return f"MasterKey(<hidden>, source={self.source!r})"


def new_key() -> str:
    """A new random master key, as text."""
    return Fernet.generate_key().decode()


def load_master(value: str | None, data_dir: Path, may_create: bool, file: Path | None = None) -> MasterKey:
    """The node's master key: `value` (HUB_MASTER_KEY), else `file`, else `master.key` in the data directory.

    Makes one there if there is none and `may_create`; otherwise StartError says how to make and share one.
    """
    if value is not None and value.strip():
        return MasterKey(_split(value), "master_key (HUB_MASTER_KEY)")
    path = file or data_dir / FILE_NAME
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        if not may_create or file is not None:
            raise StartError(
                f"no master key: HUB_MASTER_KEY is not set and {path} does not exist. Everything the hub "
                "keeps is sealed under it, and all nodes of a cluster must hold the same one. Make it once "
                "with `feishu-hub keys make` and give it to every node as HUB_MASTER_KEY; or copy master.key "
                "from the data directory of the node (or of the `feishu-hub engine`) that already has one"
            ) from None
        return load_master(None, data_dir, may_create=False, file=ensure_master_key(data_dir))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not plain text"
        raise StartError(f"{path}: the master key cannot be read: {reason}") from None
    return MasterKey(_split(text), str(path))


def ensure_master_key(data_dir: Path) -> Path:
    """The key file of a data directory, made with mode 0600 if there is none, never replaced.

    StartError when the directory holds data keys already: a new master key would open none of them.
    """
    path = data_dir / FILE_NAME
    if path.exists():
        return path
    if any((data_dir / KEYS_DIRECTORY).glob("*.key")):
        raise StartError(
            f"{path} is missing, and {data_dir / KEYS_DIRECTORY} holds data keys that only the lost master key "
            "opens: put it back, or set HUB_MASTER_KEY to it; to begin anew, move the data directory away"
        )
    try:
        create_private(path, new_key().encode() + b"\n")
    except FileExistsError:
        # Another process made one in this moment: theirs counts.
        return path
    except OSError as error:
        raise StartError(f"{path}: a master key cannot be written here: {error.strerror}") from error
    log.warning(
        "a new master key was made: back it up, and give the same one to every node of this cluster; "
        "without it nothing that the hub keeps can be read",
        path=str(path),
    )
    return path


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part]
