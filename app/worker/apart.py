"""Keeps bots that disturb others apart: they get a worker process of their own, as long as there are any."""

from __future__ import annotations

from app.core.logs import get_logger
from app.core.metrics import QUARANTINES
from app.model.catalog import Catalog
from app.worker.processes import Processes
from app.worker.quarantine import Quarantine

log = get_logger(__name__)


class Apart:
    """Acts on the quarantine: tells every worker which bots are in it, and keeps a lane for them."""

    def __init__(self, quarantine: Quarantine, processes: Processes, catalog: Catalog) -> None:
        self._quarantine = quarantine
        self._processes = processes
        self._catalog = catalog

    @property
    def bots(self) -> tuple[str, ...]:
        """The bots that are apart now."""
        return self._quarantine.bots

    def offend(self, bot: str, why: str) -> None:
        """Keep a bot apart from now on."""
        if self._quarantine.offend(bot, self._revision(bot)):
            self._moved(bot, why)

    def warn(self, bot: str, why: str) -> None:
        """Keep a bot apart if it did so too often."""
        if self._quarantine.warn(bot, self._revision(bot)):
            self._moved(bot, why)

    def reloaded(self, bots: frozenset[str]) -> None:
        """Let back those whose directories have changed."""
        self._released([bot for bot in bots if self._quarantine.pardon(bot, self._revision(bot))])

    def release_due(self) -> None:
        """Let back those whose term is over."""
        self._released(self._quarantine.release_due())

    def have_lane(self) -> None:
        """Start a worker for them if there is none, but only once the others, who did no wrong, are served again."""
        if self.bots and self._processes.serving and self._processes.of_kind("quarantine") is None:
            self._processes.spawn("quarantine", self.bots)

    def _released(self, bots: list[str]) -> None:
        if bots:
            log.info("bots released from quarantine", bots=bots)
            self._regroup()

    def _moved(self, bot: str, why: str) -> None:
        QUARANTINES.labels(bot).inc()
        log.warning("bot moved to a worker process of its own", bot=bot, why=why)
        self._regroup()

    def _regroup(self) -> None:
        apart = self._quarantine.bots
        for process in self._processes:
            if process.lane.kind != "solo":
                process.tell({"do": "bots", "bots": list(apart)})
            if process.lane.kind == "quarantine" and not apart:
                process.retire()
        self.have_lane()

    def _revision(self, bot: str) -> str:
        spec = self._catalog.bots.get(bot)
        return spec.revision if spec else ""
