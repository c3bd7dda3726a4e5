"""While Redis is away a node reports what is wrong with itself, and folds it into the book afterwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from app.control.alerts.book import Book
from app.control.alerts.notice import Notice
from app.control.alerts.notify import Notifier
from app.control.alerts.past import Past
from app.control.alerts.readings import LOCAL_SIGNALS
from app.control.alerts.round import evaluate
from app.control.alerts.states import Alert, Timing
from app.core.alert_rules import Rule
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger

log = get_logger(__name__)


class Lookout:
    """Every node has one, whatever its roles; silent while Redis answers."""

    def __init__(
        self,
        node: str,
        book: Book,
        notifier: Notifier,
        rules: Mapping[str, Rule],
        away: Callable[[], float],
        spooled: Callable[[], int],
        heard: Callable[[], float] = lambda: math.inf,
        *,
        interval: float,
        timing: Timing,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`away` says for how many seconds Redis has not answered, `spooled` how many events the spool holds, `heard`
        when the last heartbeat that reached Redis began (monotonic seconds).
        """
        self._node = node
        self._book = book
        self._notifier = notifier
        self._rules = {
            name: rule
            for name, rule in rules.items()
            if all(condition.signal.name in LOCAL_SIGNALS for condition in rule.conditions)
        }
        self._away = away
        self._spooled = spooled
        self._heard = heard
        self._interval = interval
        self._timing = timing
        self._clock = clock
        self._alerts: dict[str, Alert] = {}
        self._past: list[Past] = []
        self._folded: float | None = None
        self.holds = False
        """Whether it has found what the book does not know yet."""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            try:
                await self.once()
            except Exception as error:
                log.error("the node cannot watch itself, this is a fault of the hub", error=type(error).__name__)

    async def once(self) -> None:
        """Evaluate this node's own rules while Redis is away; fold once it is back."""
        if away := self._away():
            self._watch(away)
        elif self.holds:
            try:
                await self._book.fold(self._alerts.values(), self._past)
            except StoreUnavailable:
                return
            self.holds, self._past, self._folded = False, [], self._clock.monotonic()
        elif self._folded is not None and self._clock.monotonic() - self._folded > self._timing.settle:
            # Until now an outage that recurred was the same one, and not reported twice.
            self._alerts, self._folded = {}, None

    def left_to_the_cluster(self, spooled: float, seen: float) -> float:
        """The spool's events that the heartbeat reports, seen at a time (monotonic seconds): none if this node reports
        them.

        A Redis that hung reads late what was written meanwhile, so the spool is reported only once a heartbeat that
        began after `seen` has come through.
        """
        return 0.0 if self.holds or seen >= self._heard() else spooled

    def _watch(self, away: float) -> None:
        now = self._clock.now()
        readings = {"redis_away": {self._node: away}, "spool_events": {self._node: float(self._spooled())}}
        found = evaluate(self._rules, readings, self._alerts, (), now, self._timing)
        self._alerts = found.after
        self._past += found.past
        self.holds = self.holds or bool(found.past)
        for entry in found.past:
            log.warning("alert", alert=entry.alert.key, what=entry.what, value=entry.alert.value)
        for item in found.items:
            channels = self._notifier.usual(self._rules[item.alert.rule].channels)
            if channels:
                self._notifier.send(Notice.of(now, [item], channels), _unkept)


async def _unkept(_notice: Notice) -> None:
    """No Redis to store it in: it lives as long as its task."""
