"""What is wrong with the code of a node's bots, put together from what its worker processes say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.model.catalog import Catalog
from app.worker.processes import Processes


@dataclass(frozen=True, slots=True)
class HandlerFault:
    """Why the code of a bot cannot be used as it stands in its file."""

    text: str
    runs: bool
    """Whether the last good version runs meanwhile."""


class CodeFaults:
    """Faults of the code that the present workers have, and of newer code that was turned down."""

    def __init__(self, processes: Processes, catalog: Catalog) -> None:
        self._processes = processes
        self._catalog = catalog
        self._refused: dict[str, str] = {}
        """What kept the newest code from replacing code that works."""
        self._unstarted: dict[str, tuple[str, str]] = {}
        """For each bot whose latest on_start failed: its revision then, and why."""

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
        """Newer code has these faults and is not used: the code before it goes on."""
        self._refused = dict(faults)

    def replace(self) -> None:
        """Newer code took over: nothing that was said of the code before it holds any more."""
        self._refused = {}
        self._unstarted = {}

    def forget_removed(self) -> None:
        """The bots have changed: drop what was said of newer code of those that are gone."""
        self._refused = {bot: fault for bot, fault in self._refused.items() if bot in self._catalog.bots}

    def started(self, bot: str, revision: str, fault: str) -> None:
        """A bot's on_start hooks ran; `fault` says why they failed, and is empty where they did not."""
        if fault:
            self._unstarted[bot] = revision, fault
        else:
            self._unstarted.pop(bot, None)
