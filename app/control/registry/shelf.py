"""The handlers of a worker process: each bot's code, imported when first asked for and when it is renamed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from app.control.registry.modules import load_handler
from app.core.errors import ConfigError
from app.core.logs import get_logger
from app.model.catalog import Catalog
from app.sdk import Bot

# How long an import may hold up the others of its worker.
_IMPORT_AT_ONCE: Final = 0.1

log = get_logger(__name__)


class Shelf:
    """Imports handlers by name; bots with the same handler share its module, and a broken one is reported once.

    Each is imported in a thread of its own: a slow module, or one that never ends, keeps only its own bots waiting.
    With `at_once` the caller waits, as in a process that serves one event.
    """

    def __init__(
        self,
        catalog: Catalog,
        directories: Sequence[Path],
        *,
        at_once: bool = False,
        note: Callable[[str], object] = str,
    ) -> None:
        """`note` gets the bot whose code is imported, since that may end the process; an empty name if unknown."""
        self._note = note
        self._catalog = catalog
        self._directories = directories
        self._at_once = at_once
        self._loaded: dict[str, Bot[Any] | None] = {}
        """None while it is being imported, or if that failed."""
        self._imports: dict[str, threading.Thread] = {}
        self._faults: dict[str, str] = {}

    def get(self, bot_id: str) -> Bot[Any] | None:
        """The bot's code; None if it has none, not yet, or none that can be imported (its mail waits)."""
        spec = self._catalog.bots.get(bot_id)
        name = spec.config.handler if spec is not None else None
        if name is None:
            return None
        if name not in self._loaded:
            if self._at_once:
                self._load(name)
            else:
                # Most modules take a few milliseconds: waiting spares their bots a second look.
                self._begin(name, bot_id).join(_IMPORT_AT_ONCE)
        return self._loaded[name]

    def faults(self) -> dict[str, str]:
        """What is wrong with the code of each bot whose handler could not be imported."""
        handlers = {bot: spec.config.handler for bot, spec in self._catalog.bots.items()}
        return {bot: self._faults[name] for bot, name in handlers.items() if name in self._faults}

    async def ready(self, bots: Sequence[str], patience: float) -> None:
        """Import the code of these bots; waits at most `patience` seconds."""
        # One after another; the loop turns, so others are served meanwhile.
        for bot in bots:
            name = spec.config.handler if (spec := self._catalog.bots.get(bot)) is not None else None
            if name is not None and name not in self._loaded:
                await asyncio.to_thread(self._begin(name, bot).join, _IMPORT_AT_ONCE)
        until = asyncio.get_running_loop().time() + patience
        while slow := [name for name, thread in self._imports.items() if thread.is_alive()]:
            if asyncio.get_running_loop().time() >= until:
                log.warning("handlers take long to import, their bots' mail waits", handlers=slow)
                return
            await asyncio.sleep(0.002)

    def _begin(self, name: str, bot: str) -> threading.Thread:
        self._loaded[name] = None
        self._note("" if any(thread.is_alive() for thread in self._imports.values()) else bot)
        # Not from an executor, for which the interpreter would wait at its end.
        thread = self._imports[name] = threading.Thread(
            target=self._load, args=(name,), name=f"import {name}", daemon=True
        )
        thread.start()
        return thread

    def _load(self, name: str) -> None:
        self._loaded[name] = None
        try:
            self._loaded[name] = load_handler(name, self._directories).bot
        except ConfigError as error:
            self._faults[name] = str(error)
            log.error("handler cannot be imported, its bots' mail waits", handler=name, faults=str(error))
        finally:
            self._note("")
