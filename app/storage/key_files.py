"""A node's own copies of wrapped data keys, so that it can seal and open while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from app.core.logs import get_logger
from app.storage.private_files import replace_private

log = get_logger(__name__)


class KeyFiles:
    """One file a bot, a wrapped key in each line, the one that seals first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, bot: str) -> Path:
        return self.directory / f"{bot}.key"

    def of(self, bot: str) -> list[bytes]:
        """The bot's copies; none where there is no file, or none that can be read."""
        try:
            return self.path(bot).read_bytes().split()
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("copy of a data key cannot be read", path=str(self.path(bot)), error=error.strerror)
            return []

    def all(self) -> list[tuple[str, bytes]]:
        """Every copy of every bot."""
        paths = sorted(self.directory.glob("*.key"))
        return [(path.stem, wrapped) for path in paths for wrapped in self.of(path.stem)]

    async def write(self, bot: str, wrapped: Sequence[bytes]) -> None:
        """Put these in place of the bot's copies; a disk that refuses is logged."""
        try:
            await asyncio.to_thread(replace_private, self.path(bot), b"\n".join(wrapped) + b"\n")
        except OSError as error:
            # Without the copy the node only cannot serve this bot while Redis is away.
            log.warning("copy of a data key not written", path=str(self.path(bot)), error=error.strerror)
