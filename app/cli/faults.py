"""What is wrong with files, as commands tell it: a line each, or JSON; any fault is exit status 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from app.cli.tables import print_json

if TYPE_CHECKING:
    from app.core.errors import Fault


def fail(faults: Sequence[Fault]) -> NoReturn:
    """Print every fault on standard error."""
    for fault in faults:
        typer.echo(str(fault), err=True)
    raise typer.Exit(1)


def report(faults: Sequence[Fault], warnings: Sequence[str], said: str, as_json: bool, **more: Any) -> None:
    """What a check found, and for people `said` of it; `more` is for programs."""
    if as_json:
        print_json({"ok": not faults, **more, "faults": [asdict(one) for one in faults], "warnings": list(warnings)})
    else:
        for line in (*(f"warning: {warning}" for warning in warnings), *map(str, faults), said):
            typer.echo(line)
    if faults:
        raise typer.Exit(1)


def counted(number: int, noun: str) -> str:
    """`1 fault`, `2 faults`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
