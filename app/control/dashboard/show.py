"""How numbers and moments are written on the dashboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final


def number(value: float | None) -> str:
    """`1,234`, `0.5`, and a dash for what is not known."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.1f}"


def moment(seconds: float) -> str:
    """ISO 8601 in UTC: the browser writes it as the reader's own time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """`1 s`, `1 min`, `30 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"


def level(used: float, allowed: float | None) -> str:
    """How full a bar is: `calm`, `high` from 80 % on, `full`."""
    if not allowed:
        return "calm"
    return "full" if used >= allowed else "high" if used >= 0.8 * allowed else "calm"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {"number": number, "moment": moment, "span": span, "level": level}
