"""Evaluates the cluster's alerts: on one node at a time, and on another when that one dies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from app.control.alerts.book import Book, Turn
from app.control.alerts.notice import Item, Notice
from app.control.alerts.notify import Notifier
from app.control.alerts.round import Readings, evaluate
from app.control.alerts.states import Alert, Timing
from app.core.alert_rules import Rule
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError, StoreUnavailable
from app.core.logs import get_logger

Source = Callable[[float], Awaitable[Readings]]
"""Reads some of the signals, given the time in seconds since the epoch."""

# This many evaluations may be missed before another node takes over.
_MISSED: Final = 3

log = get_logger(__name__)


class Evaluator:
    """Applies the rules to what the sources read, and hands on the news."""

    def __init__(
        self,
        book: Book,
        notifier: Notifier,
        rules: Mapping[str, Rule],
        sources: Iterable[Source],
        owner: str,
        *,
        interval: float,
        timing: Timing,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`owner` names this process; `interval` in seconds."""
        self._book = book
        self._notifier = notifier
        self._rules = rules
        self._sources = tuple(sources)
        self._owner = owner
        self._interval = interval
        self._timing = timing
        self._clock = clock
        self._troubled: set[Source] = set()
        self.readings: Readings = {}
        """What was read last; empty if another node evaluates."""
        self.alerts: Iterable[Alert] = ()
        """The present alerts, likewise."""

    async def run(self) -> None:
        """Evaluate until cancelled; outlives every outage."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                if not await self.once():
                    self.readings, self.alerts = {}, ()
            except StoreUnavailable:
                self.readings, self.alerts = {}, ()  # each node watches itself meanwhile
            except Exception as error:
                # A rule that cannot be evaluated must not silence the others for good.
                log.error("alerts cannot be evaluated, this is a fault of the hub", error=type(error).__name__)

    async def once(self) -> bool:
        """Evaluate, if it is this node's turn; raises StoreUnavailable without Redis."""
        turn = await self._book.turn(self._owner, max(1.0, _MISSED * self._interval))
        if turn is None:
            await self._notifier.stop()  # the node with the turn sends what is left
            return False
        readings = await self._read(turn)
        before = await self._book.standing()
        found = evaluate(self._rules, readings, before.alerts, before.silences, turn.now, self._timing)
        notices = self._notices(turn.now, found.items)
        if not await self._book.commit(turn, before, found, notices):
            return False
        self.readings, self.alerts = readings, found.after.values()
        for entry in found.past:
            log.warning("alert", alert=entry.alert.key, what=entry.what, value=entry.alert.value)
        for notice in (*before.notices, *notices):
            self._notifier.send(notice, self._book.keep_notice)
        await self._book.keep_deliveries(self._notifier.deliveries)
        return True

    async def _read(self, turn: Turn) -> Readings:
        """All signals but those of failing sources, so that nothing changes for their rules."""
        readings: dict[str, Mapping[str, float]] = {}
        for source in self._sources:
            try:
                readings.update(await source(turn.now))
                self._troubled.discard(source)
            except StoreUnavailable:
                raise
            except HubError as error:
                if source not in self._troubled:
                    log.warning("signals of alerts cannot be read", error=str(error))
                self._troubled.add(source)
        readings["delivery_failures"] = {
            name: float(delivery.failures) for name, delivery in self._notifier.deliveries.items()
        }
        return readings

    def _notices(self, now: float, items: Iterable[Item]) -> list[Notice]:
        """One notice for all alerts that go to the same channels."""
        ways: defaultdict[tuple[str, ...], list[Item]] = defaultdict(list)
        for item in items:
            rule = self._rules.get(item.alert.rule)
            ways[self._notifier.usual(rule.channels if rule else ())].append(item)
        return [Notice.of(now, found, channels) for channels, found in ways.items() if channels]
