"""The one table: rows of figures, each with what it is to reach and whether it does."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: the median over the runs, and every run's own."""

    section: str
    what: str
    value: float
    unit: str
    runs: tuple[float, ...] = ()
    target: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "reached" if self.met else "MISSED"


def row(
    section: str,
    what: str,
    unit: str,
    runs: Iterable[float],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    value: float | None = None,
    note: str = "",
) -> Row:
    """A row from the runs' figures; the bound is held against their median, or the `value` of all of them together."""
    values = tuple(runs)
    if value is None:
        value = statistics.median(values)
    if at_least is not None:
        return Row(section, what, value, unit, values, f"≥ {at_least:g}", value >= at_least, note)
    if at_most is not None:
        return Row(section, what, value, unit, values, f"≤ {at_most:g}", value <= at_most, note)
    return Row(section, what, value, unit, values, note=note)


@dataclass(slots=True)
class Report:
    """All rows of one run, with the machine they were taken on."""

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)

    def table(self) -> str:
        """For people."""
        cells = [("section", "what", "median", "min – max", "to reach", "", "")]
        before = ""
        for line in self.rows:
            spread = f"{_figure(min(line.runs))} – {_figure(max(line.runs))}" if len(line.runs) > 1 else ""
            section = "" if line.section == before else line.section
            before = line.section
            value = f"{_figure(line.value)} {line.unit}".rstrip()
            cells.append((section, line.what, value, spread, line.target, line.verdict, line.note))
        widths = [max(len(cell[column]) for cell in cells) for column in range(len(cells[0]))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip() for cell in cells
        ]
        lines.insert(1, "-" * max(len(text) for text in lines))
        facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.machine.items())
        return "\n".join([*lines, "", facts])

    def write(self, directory: Path, stamp: str) -> Path:
        """For programs: a JSON file."""
        directory.mkdir(exist_ok=True)
        file = directory / f"{stamp}.json"
        rows = [asdict(line) for line in self.rows]
        file.write_text(json.dumps({"machine": self.machine, "rows": rows}, indent=1, ensure_ascii=False))
        return file


def percentile(values: Sequence[float], part: float) -> float:
    """The value that `part` of them (0 to 1) do not exceed; the nearest one, nothing in between is made up."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def _figure(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
