"""hub.yaml while the node runs: takes up programs' tokens, and logs that all else takes effect at the next start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from app.control.registry.directories import mounted_stamp
from app.control.registry.watch import FileWatch
from app.core.errors import ConfigError
from app.core.logs import get_logger
from app.core.settings import Settings, load_settings
from app.core.shape import keys_of

_TAKEN_UP: Final = "api_tokens"

log = get_logger(__name__)


class LiveSettings:
    """Watches a file; while it has faults, or its directory is missing, everything stays as it was."""

    def __init__(self, file: Path, env: Mapping[str, str], apply: Callable[[Settings], None]) -> None:
        """`apply` gets the new settings when their tokens have changed."""
        self._file = file
        self._env = env
        self._apply = apply
        self._first: Settings | None = None
        self._tokens: Any = None

    async def run(self) -> None:
        """Until cancelled."""
        await FileWatch(self._file.parent, lambda: mounted_stamp([self._file]), self.changed).run()

    async def changed(self) -> None:
        """See what changed; the first call reads what the node was started with."""
        try:
            now = await asyncio.to_thread(load_settings, self._file, self._env)
        except ConfigError as error:
            log.warning("hub.yaml has faults, nothing of it is taken up", faults=[str(fault) for fault in error.faults])
            return
        if self._first is None:
            self._first, self._tokens = now, now.api_tokens
            return
        if now.api_tokens != self._tokens:
            self._tokens = now.api_tokens
            self._apply(now)
            log.info("api tokens taken up", names=[token.name for token in now.api_tokens])
        first = self._first
        keys = [key.path for key in keys_of(Settings) if _value(now, key.path) != _value(first, key.path)]
        if waiting := [key for key in keys if key != _TAKEN_UP]:
            log.warning("hub.yaml has changed, this takes effect when the node is started anew", keys=waiting)


def _value(settings: Any, path: str) -> Any:
    for name in path.split("."):
        settings = getattr(settings, name)
    return settings
