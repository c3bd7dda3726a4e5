"""The one way in which the data plane learns what bots there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from app.model.bot import BotSpec


class Catalog(Protocol):
    """The present snapshot of all good bots; reading it costs a dictionary look-up."""

    @property
    def bots(self) -> Mapping[str, BotSpec]:
        """Enabled bots by id; a new mapping whenever anything changes."""
        ...

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Have `listener` called, on the loop, with the ids that were added, changed or removed."""
        ...
