"""Tells the timetable the schedules of bots: they are in their code, which only workers have."""

from __future__ import annotations

from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.logs import get_logger
from app.queue.timetable import Timetable
from app.worker.outcome import place_of
from app.worker.roster import Resident, Roster

_LOOK_EVERY: Final = 1.0
# What Redis forgets (a shredded bot, an emptied server) is declared again this soon.
_ASK_EVERY: Final = 10.0

log = get_logger(__name__)


class Declarer:
    """Declares a bot's schedules when it is first seen here, changed (directory or code), or lost by Redis."""

    def __init__(self, roster: Roster, timetable: Timetable, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._roster = roster
        self._timetable = timetable
        self._clock = clock
        self._declared: dict[str, Resident] = {}
        self._ask_at = 0.0

    async def run(self) -> None:
        """Run until cancelled; outlives every outage."""
        while True:
            try:
                await self.declare()
            except HubError as error:
                log.warning("schedules not declared yet", error=str(error))
            except Exception as error:
                log.error("schedules not declared, this is a fault of the hub", place=place_of(error))
            await self._clock.sleep(_LOOK_EVERY)

    async def declare(self) -> None:
        """Declare what is new since the last call, or no longer known."""
        if self._clock.monotonic() >= self._ask_at:
            self._ask_at = self._clock.monotonic() + _ASK_EVERY
            having = [bot for bot, resident in self._declared.items() if resident.schedules]
            for bot in await self._timetable.forgotten(having):
                del self._declared[bot]
        for resident in self._roster.everyone():
            bot = resident.spec.id
            if self._declared.get(bot) is not resident:
                await self._timetable.plan(bot, [one.schedule for one in resident.schedules.values()])
                self._declared[bot] = resident
