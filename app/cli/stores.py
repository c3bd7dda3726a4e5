"""Runs a command's work on the stores of a hub, whether that hub runs or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from app.wiring import Stores

T = TypeVar("T")


def with_stores(config: Path, data_dir: Path | None, work: Callable[[Stores], Awaitable[T]]) -> T:
    """What `work` gives; raises HubError where the stores cannot be had."""
    import asyncio

    from app.cli.settings import settings_of
    from app.control.registry.directories import bot_id_of, is_one_bot
    from app.core.logs import configure_logs
    from app.wiring import open_stores

    configure_logs("console", "warning")
    settings = settings_of(config, data_dir)

    # A bot that runs as a process of its own is woken at once, not when it looks by itself.
    group = bot_id_of(config) if is_one_bot(config) else ""

    async def run() -> T:
        async with open_stores(settings, group=group) as stores:
            return await work(stores)

    return asyncio.run(run())
