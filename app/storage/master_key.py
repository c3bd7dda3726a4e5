"""The master key that wraps every bot's data keys: where it comes from, and how it is made."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from app.core.errors import SealBroken, StartError
from app.core.logs import get_logger
from app.storage.master_command import MasterCommand
from app.storage.private_files import create_private

FILE_NAME: Final = "master.key"
KEYS_DIRECTORY: Final = "keys"
"""Where a data directory holds the wrapped copies of the bots' data keys."""

log = get_logger(__name__)


class MasterKey:
    """One or several Fernet keys: the first wraps, all unwrap (several while one is being replaced)."""

    __slots__ = ("_fault", "_fernets", "_read_again", "path", "source")

    def __init__(
        self,
        keys: Sequence[str],
        source: str,
        read_again: Callable[[], str | None] | None = None,
        *,
        path: Path | None = None,
    ) -> None:
        """`source` says in messages where the keys are from; StartError when one of them is no Fernet key.

        `read_again` gives the source's text as it is now, None when it is as before; `path` is the file, if it is one.
        """
        self.source = source
        self.path = path
        self._read_again = read_again
        self._fault = ""
        self._fernets = _fernets(keys, source)

    @property
    def ids(self) -> tuple[str, ...]:
        """The keys' ids, which tell nothing of the keys; the first is that of the key that wraps."""
        return tuple(self._fernets)

    def wrap(self, plain: bytes) -> bytes:
        """Wrap under the first key."""
        return next(iter(self._fernets.values())).encrypt(plain)

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped under any of the keys; SealBroken when none opens it."""
        return self._open(wrapped)[1]

    def opener(self, wrapped: bytes) -> str | None:
        """The id of the key that it is wrapped under; None when it is none of these."""
        try:
            return self._open(wrapped)[0]
        except SealBroken:
            return None

    def renewed(self, wrapped: bytes) -> bytes:
        """The same content under the first key, unchanged if it is so already; SealBroken if no key opens it."""
        key_id, plain = self._open(wrapped)
        return wrapped if key_id == self.ids[0] else self.wrap(plain)

    def read_again(self) -> bool:
        """Take up what the source holds now; returns whether it differs. Blocks; a failing source changes nothing."""
        if self._read_again is None:
            return False
        try:
            text = self._read_again()
            fernets = self._fernets if text is None else _fernets(split_keys(text), self.source)
        except StartError as error:
            # Told once: it is asked every second.
            if str(error) != self._fault:
                log.error("master key cannot be read again, the one in memory stays in use", error=str(error))
            self._fault = str(error)
            return False
        self._fault = ""
        changed = tuple(fernets) != self.ids
        self._fernets = fernets
        if changed:
            log.info("master key read again", source=self.source, keys=self.ids)
        return changed

    def _open(self, wrapped: bytes) -> tuple[str, bytes]:
        for key_id, fernet in self._fernets.items():
            try:
                return key_id, fernet.decrypt(wrapped)
            except InvalidToken:
                continue
        raise SealBroken(f"does not open under the master key of {self.source}")

    def __repr__(self) -> str:
        return f"MasterKey(<hidden>, source={self.source!r})"


def new_key() -> str:
    """A new random master key, as text."""
    return Fernet.generate_key().decode()


def key_id(key: str) -> str:
    """What a master key is called where it may be seen."""
    return hashlib.sha256(b"feishu-hub master key\n" + base64.urlsafe_b64decode(key)).hexdigest()[:8]


def load_master(
    value: str | None, data_dir: Path, may_create: bool, file: Path | None = None, command: Sequence[str] = ()
) -> MasterKey:
    """The node's master key: `value` (HUB_MASTER_KEY), else `file`, else what `command` prints, else `master.key`.

    `master.key` of the data directory is made if it is missing and `may_create`; otherwise StartError says how to make
    and share one.
    """
    if value is not None and value.strip():
        return MasterKey(split_keys(value), "master_key (HUB_MASTER_KEY)")
    if file is None and command:
        asked = MasterCommand(command)
        return MasterKey(split_keys(asked.run()), asked.place, asked.run_again)
    path = file or data_dir / FILE_NAME
    if not path.exists():
        if not may_create or file is not None:
            raise StartError(
                f"no master key: HUB_MASTER_KEY is not set and {path} does not exist. Everything the hub "
                "keeps is sealed under it, and all nodes of a cluster must hold the same one. Make it once "
                "with `feishu-hub keys make` and give it to every node as HUB_MASTER_KEY; or copy master.key "
                "from the data directory of the node (or of the `feishu-hub engine`) that already has one"
            )
        ensure_master_key(data_dir)
    source = _File(path)
    return MasterKey(split_keys(source.read()), str(path), source.read_changed, path=path)


def ensure_master_key(data_dir: Path) -> Path:
    """The key file of a data directory, made with mode 0600 if there is none, never replaced.

    StartError when the directory holds data keys already: a new master key would open none of them.
    """
    path = data_dir / FILE_NAME
    if path.exists():
        return path
    for kept in (data_dir / KEYS_DIRECTORY, data_dir / "engine"):
        if any(kept.glob("*.key")) or any(kept.glob("appendonlydir/*")):
            raise StartError(
                f"{path} is missing, and {kept} holds data keys, or what is sealed under them, that only the lost "
                "master key opens: put it back, or set HUB_MASTER_KEY (_FILE, _COMMAND) to it; to begin anew, move the "
                "directory away"
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


class _File:
    """A file of keys, read again when it was changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None

    def read(self) -> str:
        try:
            # Looked at before it is read: a change in between is seen the next time.
            self._stamp = self._look()
            return self._path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not plain text"
            raise StartError(f"{self._path}: the master key cannot be read: {reason}") from None

    def read_changed(self) -> str | None:
        try:
            if self._look() == self._stamp:
                return None
        except OSError:
            pass  # reading it says what is wrong
        return self.read()

    def _look(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size


def _fernets(keys: Sequence[str], source: str) -> dict[str, Fernet]:
    fernets: dict[str, Fernet] = {}
    for position, key in enumerate(keys, 1):
        try:
            fernets[key_id(key)] = Fernet(key)
        except ValueError:
            # The library's own message is not passed on: it is not ours to promise that it shows no key.
            raise StartError(
                f"{source}: key {position} of {len(keys)} is not a master key (44 characters of url-safe "
                "base64); make one with `feishu-hub keys make`"
            ) from None
    if not fernets:
        raise StartError(f"{source}: holds no master key; make one with `feishu-hub keys make`")
    return fernets


def split_keys(text: str) -> list[str]:
    """The keys of a text, between which stand commas or white space."""
    return [part for part in re.split(r"[,\s]+", text) if part]
