"""Runs a command's work on the stores of a hub, whether that hub runs or not; and prints what it found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from app.wiring import Stores

T = TypeVar("T")


def with_stores(config: Path, data_dir: Path | None, work: Callable[[Stores], Awaitable[T]]) -> T:
    """What `work` gives; raises HubError where the stores cannot be had."""
    import asyncio
    import os

    from app.core.logs import configure_logs
    from app.core.settings import load_settings
    from app.wiring import open_stores

    configure_logs("console", "warning")
    settings = load_settings(config / "hub.yaml", os.environ, {"data_dir": data_dir})

    async def run() -> T:
        async with open_stores(settings) as stores:
            return await work(stores)

    return asyncio.run(run())


def print_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, none: str) -> None:
    """A table for people, or the sentence `none` where there is nothing to show."""
    rows = list(rows)
    if not rows:
        typer.echo(none)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    first, *others = columns
    table = Table(Column(first, no_wrap=True), *(column.replace("_", " ") for column in others), box=SIMPLE_HEAD)
    for row in rows:
        # Folded, not cut: what stands here is what other commands are given.
        cells = ("" if row[column] is None else str(row[column]) for column in columns)
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    Console().print(table)


def instant(seconds: float | None) -> str | None:
    """A time as all commands write it: UTC, to the second."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
