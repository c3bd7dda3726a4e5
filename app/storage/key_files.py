"""A node's own copies of wrapped data keys, so that it can seal and open while Redis is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

from app.core.logs import get_logger
from app.storage.key_record import KeyRecord
from app.storage.private_files import replace_private

log = get_logger(__name__)


class KeyFiles:
    """One file for each bot, holding its record, one word a line."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, bot: str) -> Path:
        return self.directory / f"{bot}.key"

    def of(self, bot: str) -> KeyRecord:
        """The bot's record; an empty one where there is no file, or none that can be read."""
        try:
            return KeyRecord.parse(self.path(bot).read_bytes())
        except FileNotFoundError:
            return KeyRecord()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is damaged"
            log.warning("copy of a data key cannot be read", path=str(self.path(bot)), error=reason)
            return KeyRecord()

    def bots(self) -> frozenset[str]:
        """Every bot that has a record here."""
        return frozenset(path.stem for path in self.directory.glob("*.key"))

    def all(self) -> list[tuple[str, KeyRecord]]:
        """The record of every bot that has one here."""
        return [(path.stem, self.of(path.stem)) for path in sorted(self.directory.glob("*.key"))]

    def clear_drafts(self, bot: str = "*") -> None:
        """Remove what a process that was killed while it wrote a record has left."""
        for draft in self.directory.glob(f".{bot}.key.*.new"):
            draft.unlink(missing_ok=True)

    async def write(self, bot: str, record: KeyRecord) -> None:
        """Replace the bot's record; a disk that refuses is logged."""
        try:
            await asyncio.to_thread(replace_private, self.path(bot), record.packed() + b"\n")
        except OSError as error:
            # Without the copy the node merely cannot serve this bot while Redis is away.
            log.warning("copy of a data key not written", path=str(self.path(bot)), error=error.strerror)
