"""The bots of a configuration directory, as commands read them; a bot that is unknown ends the command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.cli.faults import fail

if TYPE_CHECKING:
    from app.control.registry.snapshot import Registry
    from app.wiring import Stores


def read_bots(config: Path, *, stand_in: bool = False) -> Registry:
    """The directory, read; `stand_in` takes credentials that open nothing for those that are not there (`dev`)."""
    from app.control.registry.check import stand_in_credentials
    from app.control.registry.snapshot import Registry
    from app.core.logs import configure_logs

    configure_logs("console", "error")  # the command prints what the registry would log
    registry = Registry(config, os.environ, stand_in_credentials if stand_in else None)
    registry.load()
    if registry.root_faults:
        fail(registry.root_faults)
    return registry


def must_know(registry: Registry, bot: str) -> None:
    """Exit status 1 where the directory has no such bot: nothing found of a misspelt one is no answer."""
    if bot not in registry.statuses:
        known = ", ".join(sorted(registry.statuses)) or "none"
        typer.echo(f"there is no bot {bot} in {registry.root}; there are: {known}", err=True)
        raise typer.Exit(1)


async def must_have_heard_of(stores: Stores, config: Path, bot: str) -> None:
    """The same, but for a bot whose directory is gone and of which something is left."""
    from app.storage.traces import Traces

    if not await Traces(stores.link, stores.keys, stores.messages).left_by(bot):
        must_know(read_bots(config), bot)
