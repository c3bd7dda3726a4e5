"""How long each bot's messages are kept, even if the bot no longer has a directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.control.registry.snapshot import Registry
from app.model.bot import BotConfig

_FOR_EVER: Final = float("inf")


class Retains:
    """As long as config.yaml says; for ever while that cannot be read."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def named(self) -> Mapping[str, float]:
        """For each bot that has a directory, in seconds."""
        readings = self._registry.readings
        return {bot: self._of(bot) for bot in readings}

    def removed(self) -> float | None:
        """Of all others; None where nothing can be said of them: a process of one bot knows nothing of the others."""
        if self._registry.root_faults or not self._registry.readings or self._registry.single:
            return None
        return BotConfig(handler="none").retain

    def _of(self, bot: str) -> float:
        config = self._registry.readings[bot].config
        if config is None:
            status = self._registry.statuses.get(bot)
            config = status.spec.config if status is not None and status.spec is not None else None
        return _FOR_EVER if config is None else config.retain
