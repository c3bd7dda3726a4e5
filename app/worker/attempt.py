"""One attempt at one event: opens, reads, sifts, matches and runs it, to an outcome."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.counting import BotHistogram
from app.core.errors import BadRequest, Fenced, HubError, SealBroken, StoreUnavailable
from app.core.failpoint import failpoint
from app.core.logs import get_logger
from app.core.metrics import HANDLE_SECONDS, RESPONSE_SECONDS, WAIT_SECONDS
from app.feishu.parse import parse_event
from app.model.event import Event
from app.queue.work import Work
from app.sdk.answer import Call, Done, run_handler, run_hook
from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.cron_tick import CronTick
from app.sdk.me import Me
from app.sdk.schedules import started
from app.sdk.subject import subject_of
from app.storage.cipher import Cipher, record_identity
from app.storage.keyring import Keyring
from app.worker.calls import FAILED, Answers
from app.worker.context import EventVerbs, Means
from app.worker.line import Message
from app.worker.outcome import DONE, FENCED, UNHANDLED, Outcome, place_of
from app.worker.roster import Resident, Roster
from app.worker.runner import Allowance, Runner
from app.worker.sift import Sieve, from_program, names_somebody

HOOK_TIME: Final = 30.0
"""Seconds that a bot's on_start or on_stop hooks may take."""

_waits = BotHistogram(WAIT_SECONDS)
_runs = BotHistogram(HANDLE_SECONDS)
_responses = BotHistogram(RESPONSE_SECONDS)

log = get_logger(__name__)


class Attempts:
    """Makes attempts; the dispatcher decides what follows from their outcome."""

    def __init__(
        self,
        roster: Roster,
        runner: Runner,
        sieve: Sieve,
        answers: Answers,
        means: Means,
        keyring: Keyring,
        own: Bot[Any] | None,
        tell: Callable[[Message], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`own` are the hub's own handlers, which come before those of every bot; `tell` tells the node."""
        self._own = own or Bot()
        self._roster = roster
        self._runner = runner
        self._sieve = sieve
        self._answers = answers
        self._means = means
        self._keyring = keyring
        self._tell = tell
        self._clock = clock

    async def make(self, work: Work, resident: Resident) -> Outcome:
        """Handle the event once; raises nothing but a cancellation."""
        try:
            cipher = await self._keyring.cipher(work.bot)
            event = await self._read(work, cipher)
            outcome = await self._handle(work, resident, cipher, event)
            if work.entry.kind == "call":
                outcome = await self._answer(work, resident, cipher, event, outcome)
            return outcome
        except Fenced:
            return FENCED
        except StoreUnavailable:
            return Outcome("store_away")
        except (BadRequest, SealBroken) as error:
            return Outcome("failed", str(error), final=True)
        except HubError as error:
            return Outcome("failed", place_of(error), error.retry_after, final=not error.retryable)
        except Exception as error:
            # A fault of the hub must not stop the conversations behind it: the event is retried, then buried.
            # Its traceback would show what people wrote, where a console prints local values.
            place = place_of(error)
            log.error("event could not be handled, this is a fault of the hub", bot=work.bot, place=place)
            return Outcome("failed", place)

    async def stop_hooks(self) -> None:
        """Run on_stop of every bot that was started here."""
        for resident in self._roster.residents():
            if resident.started and resident.bot.stop_hooks:
                outcome = await self._hooks(resident, resident.bot.stop_hooks, "stop")
                if outcome is not DONE:
                    log.warning("on_stop failed", bot=resident.spec.id, reason=outcome.reason)

    async def _read(self, work: Work, cipher: Cipher) -> Event:
        identity = record_identity(work.entry.event_id)
        try:
            plain = cipher.open(work.entry.sealed, identity)
        except SealBroken:
            # Another node may have sealed under a newer key.
            plain = (await self._keyring.refresh(work.bot)).open(work.entry.sealed, identity)
        return parse_event(orjson.loads(plain), raw=plain)

    async def _handle(self, work: Work, resident: Resident, cipher: Cipher, event: Event) -> Outcome:
        me = resident.me
        if me is None:
            # Asked of Feishu only if it matters: most events name nobody, and must not wait for an answer.
            needed = from_program(event) or names_somebody(event)
            me = await self._roster.me(resident) if needed else Me("", resident.spec.config.owners)
        if reason := await self._sieve.why_not(resident, me, event, work):
            log.info("event set aside", bot=work.bot, event_id=event.id, reason=reason)
            return DONE
        if not resident.started and (failed := await self._start(resident)) is not None:
            return failed
        subject = subject_of(event, me)
        bot, found = self._own, self._own.find(subject, me)
        if found is None and isinstance(subject, CronTick):
            bot, found = resident.bot, started(resident.bot, subject, resident.schedules)
            if found is None:
                # Nobody would see that it never happens.
                return Outcome("failed", f"the bot has no @bot.cron function {subject.name}", final=True)
        elif found is None:
            bot, found = resident.bot, resident.bot.find(subject, me)
        if found is None:
            log.info("nobody took the event", bot=work.bot, event_id=event.id, type=event.type)
            return UNHANDLED
        allowance = Allowance(resident.spec.config.timeout, clock=self._clock)
        ctx = self._context(resident, cipher, event, work, allowance, work.entry.identity)
        began, waited = self._clock.monotonic(), max(0.0, self._clock.now() - work.entry.received)
        failpoint("before_handler")
        try:
            return await self._runner.run(
                work.bot,
                lambda call: run_handler(bot, found, ctx, call=call),
                ctx,
                allowance,
                orjson.dumps,
            )
        finally:
            # All counting comes afterwards: somebody waits for the handler.
            _waits.observe(work.bot, waited)
            _runs.observe(work.bot, self._clock.monotonic() - began)
            _responses.observe(work.bot, max(0.0, self._clock.now() - work.entry.received))

    async def _answer(self, work: Work, resident: Resident, cipher: Cipher, event: Event, outcome: Outcome) -> Outcome:
        """Answer a callback; a failed one gets an error toast at once, and is not tried again."""
        if outcome.ending in ("retry", "fenced", "store_away", "put_back"):
            return outcome
        answer = outcome.answer
        if outcome.ending in ("failed", "timed_out"):
            answer = FAILED if event.type != "url.preview.get" else None
            outcome = Outcome(outcome.ending, outcome.reason, final=True)
        await self._answers.give(resident.spec, cipher, work, event, answer)
        return outcome

    # -- hooks ---------------------------------------------------------------------------------------------

    async def _start(self, resident: Resident) -> Outcome | None:
        """Run on_start before the bot's first event here; returns an outcome if it failed."""
        async with resident.starting:
            if not resident.started:
                outcome = await self._hooks(resident, resident.bot.start_hooks, "start")
                if outcome.ending == "store_away":
                    return outcome
                if outcome is not DONE:
                    log.error("on_start failed, and its event with it", bot=resident.spec.id, reason=outcome.reason)
                    fault = f"on_start failed: {outcome.reason}"
                    self._told_of(resident, fault)
                    # Never final: a failure final for an event may be cured in the bot meanwhile.
                    return Outcome("failed", fault, outcome.after)
                resident.started = True
                if resident.bot.start_hooks:
                    self._told_of(resident, "")
        return None

    def _told_of(self, resident: Resident, fault: str) -> None:
        self._tell({"say": "start", "bot": resident.spec.id, "revision": resident.spec.revision, "fault": fault})

    async def _hooks(self, resident: Resident, hooks: tuple[Callable[..., Any], ...], which: str) -> Outcome:
        if not hooks:
            return DONE
        bot = resident.spec.id
        cipher = await self._keyring.cipher(bot)
        allowance = Allowance(HOOK_TIME, clock=self._clock)
        # A process starts a bot once: the instant gives its sends other names than those of the start before.
        ctx = self._context(resident, cipher, None, None, allowance, f"{which}:{self._clock.now()}")
        return await self._runner.run(bot, partial(_run_hooks, hooks, ctx), ctx, allowance, orjson.dumps)

    def _context(
        self,
        resident: Resident,
        cipher: Cipher,
        event: Event | None,
        work: Work | None,
        allowance: Allowance,
        origin: str,
    ) -> Context[Any]:
        verbs = EventVerbs(self._means, resident.spec, cipher, event, work, origin, allowance.extend)
        return Context(
            verbs,
            resident.settings,
            resident.log if event is None else resident.log.bind(event_id=event.id),
            bot_id=resident.spec.id,
            event=event,
            attempt=work.failures + 1 if work else 1,
            deadline=allowance.deadline,
            clock=self._clock,
        )


async def _run_hooks(hooks: tuple[Callable[..., Any], ...], ctx: Context[Any], call: Call) -> Done:
    for hook in hooks:
        await run_hook(hook, ctx, call=call)
    return Done()
