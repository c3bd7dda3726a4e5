"""Works through a conversation: its events in order, each to its end, and what follows from how it ended."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.counting import BotCounter
from app.core.errors import Fenced, StoreUnavailable
from app.core.logs import get_logger
from app.core.metrics import EVENTS
from app.queue.claims import Claims
from app.queue.kept import kept
from app.queue.leases import Leases
from app.queue.mailbox import Mailbox
from app.queue.work import Work
from app.worker.attempt import Attempts
from app.worker.calls import Answers
from app.worker.dial import Dial
from app.worker.outcome import Outcome
from app.worker.retry import Step, next_step
from app.worker.roster import Resident, Roster

SUSPECT_DEATHS: Final = 2
"""Processes that died with an event before it runs alone."""
# After this many events in a row a conversation goes to the end of the line, behind the bot's others.
_TURNS_IN_A_ROW: Final = 100
_STORE_PAUSE: Final = 0.5

_ended = BotCounter(EVENTS)

log = get_logger(__name__)


class Alone(Protocol):
    """What runs one event in a process of its own (`app.worker.solo`)."""

    async def run(self, work: Work) -> Outcome | None:
        """Its outcome; None if that process died."""
        ...


class Dispatcher:
    """Works through conversations, each in a task made by the consumer."""

    def __init__(
        self,
        mailbox: Mailbox,
        roster: Roster,
        attempts: Attempts,
        answers: Answers,
        claims: Claims,
        leases: Leases,
        dial: Dial,
        alone: Alone,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._mailbox = mailbox
        self._roster = roster
        self._attempts = attempts
        self._answers = answers
        self._claims = claims
        self._leases = leases
        self._dial = dial
        self._alone = alone
        self._clock = clock
        self.ending = False
        """Set when the worker takes nothing new: each conversation is released after its present event."""

    async def work_through(self, first: Work, stalls: int) -> None:
        """Handle the conversation's events, and then those of others that are ready, until none is left or one is lost.

        Ending an event and taking the next is one step: a slot is not empty while Redis is asked for more. `stalls` is
        the loop's count when the first was asked for: if there are more now, it may be another worker's.
        """
        task = asyncio.current_task()
        assert task is not None
        work: Work | None = first
        held = first
        turns = 0
        try:
            while work is not None:
                if work.conversation != held.conversation:
                    self._claims.let_go(held, task)
                held = work
                self._claims.hold(work, task)
                turns += 1
                if self._dial.stalls() != stalls:
                    await self._still_held(work)
                stalls = self._dial.stalls()
                work = await self._one(work, more=turns < _TURNS_IN_A_ROW)
        except Fenced:
            log.warning("conversation lost to another worker", bot=held.bot, event_id=held.entry.event_id)
        finally:
            self._claims.let_go(held, task)

    async def _still_held(self, work: Work) -> None:
        """Raise Fenced if the node gave it to another worker while this one stood still."""
        try:
            lost = await self._leases.extend([work])
        except StoreUnavailable:
            return  # what it does under a claim that is lost is refused later
        if lost:
            raise Fenced(f"conversation {work.conversation} of bot {work.bot} went on elsewhere, its loop was held")

    async def _one(self, work: Work, *, more: bool) -> Work | None:
        resident = self._roster.find(work.bot)
        if resident is None:
            await kept(lambda: self._mailbox.release(work), self._clock)
            return None
        outcome, step = await self._decide(work, resident)
        _ended.inc(work.bot, outcome.ending if outcome else "died")
        go_on = more and not self.ending and self._roster.place_of(work.bot) == "here"
        return await self._take(work, step, go_on)

    async def _decide(self, work: Work, resident: Resident) -> tuple[Outcome | None, Step]:
        if work.entry.kind == "call" and await kept(lambda: self._answers.expired(work), self._clock):
            return None, Step("bury", reason="not started within 30 s")
        if work.deaths >= SUSPECT_DEATHS:
            log.warning(
                "event runs alone, its worker died with it",
                bot=work.bot,
                event_id=work.entry.event_id,
                deaths=work.deaths,
            )
            outcome = await self._alone.run(work)
            if outcome is None:
                return None, Step("bury", reason="died alone", detail=f"after {work.deaths} deaths among others")
        else:
            outcome = await self._attempts.make(work, resident)
        step = next_step(outcome, resident.spec.config.message, failures=work.failures, held=work.held)
        if outcome.ending == "store_away":
            log.warning("event put back, Redis is away", bot=work.bot, event_id=work.entry.event_id)
        elif outcome.ending == "drop":
            log.info(
                "event dropped by its handler",
                bot=work.bot,
                event_id=work.entry.event_id,
                reason=outcome.reason,
            )
        elif outcome.ending in ("failed", "timed_out", "retry"):
            log.warning(
                "attempt failed",
                bot=work.bot,
                event_id=work.entry.event_id,
                attempt=work.failures + 1,
                ending=outcome.ending,
                reason=outcome.reason,
                next=step.do,
                delay=round(step.delay, 3),
            )
        return outcome, step

    async def _take(self, work: Work, step: Step, go_on: bool) -> Work | None:
        """Take the step; waits out an outage of Redis. Raises Fenced."""
        mailbox = self._mailbox
        match step.do:
            case "finish":
                # Callbacks have their own slots, in which nothing else shall run.
                another = work.entry.kind != "call"
                return await kept(lambda: mailbox.finish(work, go_on=go_on, another=another), self._clock)
            case "bury":
                log.error(
                    "event buried",
                    bot=work.bot,
                    event_id=work.entry.event_id,
                    type=work.entry.type,
                    reason=step.reason,
                    detail=step.detail,
                )
                return await kept(lambda: mailbox.bury(work, step.reason, step.detail, go_on=go_on), self._clock)
            case "later":
                return await kept(lambda: mailbox.later(work, step.delay, go_on=go_on), self._clock)
            case "retry":
                await kept(lambda: mailbox.retry(work, step.delay), self._clock)
                return None
            case "let_go":
                # Its store is away: nothing went wrong with the event, so nothing is counted.
                await self._clock.sleep(_STORE_PAUSE)
                await kept(lambda: mailbox.release(work), self._clock)
                return None
            case "stop":
                return None
