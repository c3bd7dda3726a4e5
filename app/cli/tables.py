"""What commands found, as a table for people or as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import typer

_LEAST: Final = 14
"""Characters that a column which folds keeps at least."""


def print_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    none: str = "",
    folds: Sequence[str] = (),
    colours: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """A table, or the sentence `none` where there is nothing to show; in a narrow terminal only `folds` are folded.

    `colours` are of cells, by what stands in them.
    """
    rows = list(rows)
    if not rows:
        typer.echo(none)
        return
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    heads = [column.removesuffix("_text").replace("_", " ") for column in columns]
    cells = [[shown(row[column]) for column in columns] for row in rows]
    table = Table(
        *(Column(head, no_wrap=column not in folds) for head, column in zip(heads, columns, strict=True)),
        box=SIMPLE_HEAD,
    )
    for line in cells:
        # Text, not str: what stands here is no markup.
        table.add_row(*(Text(cell, colours.get(cell, ""), overflow="fold") for cell in line))
    widths = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    console = Console()
    # A line may be longer than the terminal: an id that is cut or folded could not be copied into the next command.
    # Into a pipe nothing is folded, so that each line is a row.
    least = [
        min(width, _LEAST) if column in folds and console.is_terminal else width
        for width, column in zip(widths, columns, strict=True)
    ]
    width = max(console.width, sum(least) + 3 * len(columns) + 1)
    # With a height too: of the width alone rich takes no notice on a dumb terminal.
    Console(width=width, height=console.height).print(table)


def print_values(values: Mapping[str, Any]) -> None:
    """A table of names, each with its value."""
    print_rows(({"key": key, "value": value} for key, value in values.items()), ("key", "value"), folds=("value",))


def print_json(value: Any) -> None:
    """JSON as every command prints it; a datetime in ISO 8601."""
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def instant(seconds: float | None) -> datetime | None:
    """A time, to the second: in JSON as UTC, in tables as this machine's."""
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)


def shown(value: Any) -> str:
    """A value as a cell of a table; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        local = value.astimezone()
        return f"{local:%m-%d %H:%M:%S}" if local.year == datetime.now(UTC).year else f"{local:%Y-%m-%d %H:%M}"
    return printable(f"{value:g}" if isinstance(value, float) else str(value))


def printable(text: str, keep: str = "") -> str:
    """Text that cannot steer the terminal it is shown on: ids, notes and messages are other people's words."""
    return "".join(char if char.isprintable() or char in keep else "\N{REPLACEMENT CHARACTER}" for char in text)
