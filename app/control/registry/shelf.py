"""The handlers of a worker process: each bot's code, imported when first asked for, and anew when it is renamed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.control.registry.modules import load_handler
from app.core.errors import ConfigError
from app.core.logs import get_logger
from app.model.catalog import Catalog
from app.sdk import Bot

log = get_logger(__name__)


class Shelf:
    """Imports handlers by name; two bots with one handler share its module, and a broken one is told of once."""

    def __init__(self, catalog: Catalog, directories: Sequence[Path]) -> None:
        self._catalog = catalog
        self._directories = directories
        self._loaded: dict[str, Bot[Any] | None] = {}

    def get(self, bot_id: str) -> Bot[Any] | None:
        """The bot's code; None where it has none or it cannot be imported (its mail then waits)."""
        spec = self._catalog.bots.get(bot_id)
        name = spec.config.handler if spec is not None else None
        if name is None:
            return None
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Bot[Any] | None:
        try:
            return load_handler(name, self._directories).bot
        except ConfigError as error:
            log.error("handler cannot be imported, its bots' mail waits", handler=name, faults=str(error))
            return None
