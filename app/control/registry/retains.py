"""How long the messages of each bot are kept, of one too that has no directory any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.control.registry.snapshot import Registry
from app.core.clock import SYSTEM_CLOCK, Clock
from app.model.bot import BotConfig

# A configuration that was not mounted for a while is no reason to delete anything.
_GRACE: Final = 86_400.0
_FOR_EVER: Final = float("inf")


class Retains:
    """As config.yaml says; while that cannot be read, for ever."""

    def __init__(self, registry: Registry, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._registry = registry
        self._clock = clock
        self._seen: frozenset[str] = frozenset()
        self._since = clock.monotonic()

    def named(self) -> Mapping[str, float]:
        """Of each bot that has a directory, in seconds."""
        readings = self._registry.readings
        return {bot: self._of(bot) for bot in readings}

    def removed(self) -> float | None:
        """Of all others; None while it is not sure that they were removed.

        A process of one bot knows nothing of the others. A directory has to be missing for a day.
        """
        there = frozenset(self._registry.readings)
        if not there >= self._seen:
            self._since = self._clock.monotonic()
        self._seen = there
        if self._registry.root_faults or not there or self._registry.single:
            return None
        if self._clock.monotonic() - self._since < _GRACE:
            return None
        return BotConfig(handler="none").retain

    def _of(self, bot: str) -> float:
        config = self._registry.readings[bot].config
        if config is None:
            status = self._registry.statuses.get(bot)
            config = status.spec.config if status is not None and status.spec is not None else None
        return _FOR_EVER if config is None else config.retain
