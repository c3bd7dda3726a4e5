"""What is wrong with the code of a node's bots, collected from its worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.model.catalog import Catalog
from app.worker.processes import Processes


@dataclass(frozen=True, slots=True)
class HandlerFault:
    """Why the code in a bot's files cannot be used."""

    text: str
    runs: bool
    """Whether the last good version runs meanwhile."""


class CodeFaults:
    """Faults of the code that the present workers have, and of newer code that was rejected."""

    def __init__(self, processes: Processes, catalog: Catalog) -> None:
        self._processes = processes
        self._catalog = catalog
        self._refused: dict[str, str] = {}
        """What kept the newest code from replacing code that works."""
        self._unstarted: dict[str, tuple[str, str]] = {}
        """The revision and fault of each bot whose latest on_start failed."""

    def all(self) -> dict[str, HandlerFault]:
        """The fault of each bot that has one."""
        found: dict[str, HandlerFault] = {}
        for process in self._processes:
            if process.state == "ready" and not process.spare:
                found |= {bot: HandlerFault(fault, runs=False) for bot, fault in process.faults.items()}
        kept = {bot: HandlerFault(fault, runs=True) for bot, fault in self._refused.items() if bot not in found}
        specs = self._catalog.bots
        for bot, (revision, fault) in self._unstarted.items():
            if bot in specs and specs[bot].revision == revision:
                found.setdefault(bot, HandlerFault(fault, runs=False))
        return kept | found

    def refuse(self, faults: Mapping[str, str]) -> None:
        """Newer code has these faults and is not used; the code before it still runs."""
        self._refused = dict(faults)

    def replace(self) -> None:
        """Newer code took over: forget the faults of the code before it."""
        self._refused = {}
        self._unstarted = {}

    def forget_removed(self) -> None:
        """The bots have changed: forget the rejected code of those that are gone."""
        self._refused = {bot: fault for bot, fault in self._refused.items() if bot in self._catalog.bots}

    def started(self, bot: str, revision: str, fault: str) -> None:
        """A bot's on_start hooks ran; `fault` says why they failed, or is empty."""
        if fault:
            self._unstarted[bot] = revision, fault
        else:
            self._unstarted.pop(bot, None)
