"""The counts of a node's processes on the metrics page: only lines that have changed are rewritten."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from app.control.health.counted import Counted


@dataclass(slots=True)
class _Child:
    """The lines of one set of labels; a histogram's `buckets` are (upper bound, entry)."""

    labels: str
    values: list[tuple[str, int]] = field(default_factory=list)
    """Name and entry."""
    buckets: list[tuple[float, int]] = field(default_factory=list)
    text: str = ""

    def write(self, family: str, totals: list[float]) -> None:
        lines = [_line(name, self.labels, totals[entry]) for name, entry in self.values]
        if self.buckets:
            comma = "," if self.labels else ""
            seen = 0.0
            for bound, entry in self.buckets:
                seen += totals[entry]
                lines.append(_line(f"{family}_bucket", f'{self.labels}{comma}le="{_shown(bound)}"', seen))
            lines.append(_line(f"{family}_count", self.labels, seen))
        self.text = "".join(lines)


@dataclass(slots=True)
class _Family:
    """A metric with its children, by labels."""

    name: str
    head: str
    children: dict[str, _Child] = field(default_factory=dict)


class CountedPage:
    """Counters and histograms of hundreds of bots are tens of thousands of lines, few of which change at a time."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._owners: list[_Child] = []
        """The child of each entry."""
        self._totals: list[float] = []
        self._families: dict[str, _Family] = {}
        self._turn = threading.Lock()

    def text(self) -> str:
        """This part of the page; any number of threads may call it at once."""
        with self._turn:
            self._write(self._counted.totals())
            parts = []
            for family in self._families.values():
                parts.append(family.head)
                parts += [child.text for child in family.children.values()]
        return "".join(parts) + self._others()

    def _write(self, totals: list[float]) -> None:
        """Write the lines of new or changed values."""
        known = len(self._totals)
        for entry in range(known, len(totals)):
            self._add(entry, *self._counted.entries[entry])
        changed = [entry for entry, (now, then) in enumerate(zip(totals, self._totals, strict=False)) if now != then]
        for entry in (*changed, *range(known, len(totals))):
            self._owners[entry].text = ""
        for family in self._families.values():
            for child in family.children.values():
                if not child.text:
                    child.write(family.name, totals)
        self._totals = totals

    def _add(self, entry: int, kind: str, key: bytes) -> None:
        """Find the family and labels of a new entry."""
        name, sample, labels, text = orjson.loads(key)
        family = self._families.get(name)
        if family is None:
            shown = f"{name}_total" if kind == "counter" else name
            said = text.replace("\\", r"\\").replace("\n", r"\n")
            family = self._families[name] = _Family(name, f"# HELP {shown} {said}\n# TYPE {shown} {kind}\n")
        bound = labels.pop("le", None) if kind == "histogram" else None
        written = _written(labels)
        child = family.children.setdefault(written, _Child(written))
        if bound is None:
            child.values.append((sample, entry))
        else:
            child.buckets.append((float(bound), entry))
            child.buckets.sort()
        self._owners.append(child)

    def _others(self) -> str:
        files = self._counted.others()
        if not files:
            return ""
        registry = CollectorRegistry()
        registry.register(Merged(files))
        return generate_latest(registry).decode()


@dataclass(frozen=True, slots=True, eq=False)
class Merged(Collector):
    """Whatever else bots' code counts in, read by the library, which reads every file again."""

    files: list[str]

    def collect(self) -> Iterable[Metric]:
        return MultiProcessCollector.merge(self.files)  # type: ignore[no-any-return, no-untyped-call]


def _written(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _line(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {_shown(value)}\n" if labels else f"{name} {_shown(value)}\n"


def _shown(value: float) -> str:
    return floatToGoString(value)  # type: ignore[no-any-return, no-untyped-call]
