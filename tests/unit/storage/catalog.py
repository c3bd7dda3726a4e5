"""Bots as the archiver knows them, of which only the configuration matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.model.bot import BotConfig, BotSpec, Credentials


class CatalogOf:
    """A catalog of bots, each given by the keys of its config.yaml."""

    def __init__(self, **bots: Mapping[str, Any]) -> None:
        credentials = Credentials(app_id="cli_1", app_secret="s", verification_token="t")
        self.bots = {
            name: BotSpec(name, BotConfig(handler="echo", **config), credentials, "1", "", (), (), ())
            for name, config in bots.items()
        }

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Nothing changes."""
