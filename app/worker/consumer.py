"""Takes ready conversations, fairly among bots, as far as each bot has slots here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.core.tasks import started
from app.queue.fetch import Fetch, Room
from app.queue.mailbox import Mailbox
from app.queue.work import Work
from app.worker.lane import Lane
from app.worker.line import Message
from app.worker.looks import HAND_OVER
from app.worker.outcome import place_of
from app.worker.roster import Roster

# A blocked read ends by itself after this time, so that a worker that retires need not break it off and lose what it
# takes. If bot code held the loop until others took over, the read has lasted longer than that.
_BLOCK: Final = HAND_OVER
# How long a bot's wake token waits here for a slot before another node may use it.
_HOLD: Final = 0.05
# The same for a bot not served here: long enough not to spin, short enough for a node that does serve it.
_HOLD_FOREIGN: Final = 0.2
_AT_ONCE: Final = 64
_LEAST_CALL_SLOTS: Final = 4
# Conversations taken of a bot in one step, if there is room; then it is another bot's turn.
_TURN: Final = 8
_LOOK_EVERY: Final = 1.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0

log = get_logger(__name__)


@dataclass(slots=True)
class _Desk:
    """One bot's slots in this worker."""

    bot: str
    busy: int = 0
    calls: int = 0
    taking: bool = False
    token: bool = False
    """Whether this worker has the bot's wake token."""
    timer: asyncio.TimerHandle | None = None
    probed: float = 0.0
    """When callbacks were last looked for while all slots were in use (monotonic)."""


class Consumer:
    """Waits for conversations that are ready, and starts a task for each; keeps wake tokens until there is room."""

    def __init__(
        self,
        lane: Lane,
        mailbox: Mailbox,
        fetch: Fetch,
        roster: Roster,
        work_through: Callable[[Work, int], Coroutine[Any, Any, None]],
        tell: Callable[[Message], None],
        stalls: Callable[[], int],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`work_through` also gets the number of the loop's `stalls` when the work was asked for."""
        self._lane = lane
        self._mailbox = mailbox
        self._fetch = fetch
        self._roster = roster
        self._work_through = work_through
        self._tell = tell
        self._stalls = stalls
        self._clock = clock
        self._desks: dict[str, _Desk] = {}
        self._usual = 1
        self._narrow: set[str] = set()
        """Bots that may have less room than the rule."""
        self._stopping = False
        self.tasks: set[asyncio.Task[None]] = set()
        """The conversations that are being worked through."""
        self._errands: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until `stop`; outlives every outage. Not for the quarantine lane, which gets its tokens from the node."""
        pause = _FIRST_PAUSE
        while not self._stopping:
            try:
                stalls = self._stalls()
                works, tokens = await self._fetch.next(self._lane.owner, _BLOCK, self._room())
                pause = _FIRST_PAUSE
                for bot in tokens:
                    self.offer(bot)
                for work in works:
                    self._got(work, stalls)
                # Handlers come before the next read: one that blocks the loop should not do so with a read open.
                await asyncio.sleep(0)
            except StoreUnavailable as error:
                log.warning("no work can be fetched, Redis is away", error=str(error), pause=pause)
                await self._clock.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
            except Exception as error:
                # Without this task the worker would live on and take no work for any bot.
                log.error("no work was fetched, this is a fault of the hub", place=place_of(error))
                await self._clock.sleep(_LONGEST_PAUSE)

    def refit(self) -> None:
        """The bots have changed: find out again how much room there is."""
        self._usual = min(_TURN, -(-self._roster.least_workers() // self._lane.share))
        self._narrow.update(self._desks)

    def stop(self) -> None:
        """Take nothing new."""
        self._stopping = True
        for desk in self._desks.values():
            self._drop_token(desk)

    async def return_unused(self) -> None:
        """Give back tokens that were fetched and not used."""
        await self._return(*self._mailbox.unused())

    async def idle(self) -> None:
        """Wait until no conversation is being worked through and no token is on its way back."""
        while self.tasks or self._errands:
            await asyncio.wait([*self.tasks, *self._errands])

    async def stuck(self) -> None:
        """Wait until all that still runs was cancelled, at the end of its time, and ignores that."""
        while not self.tasks or not all(task.cancelling() for task in self.tasks):
            await self._clock.sleep(_LOOK_EVERY)

    def offer(self, bot: str) -> None:
        """Take a bot's wake token: it has ready conversations."""
        if self._stopping:
            started(self._return(bot), self._errands)
            return
        match self._roster.place_of(bot):
            case "here":
                desk = self._desk(bot)
                desk.token = True
                self._use(desk)
            case "elsewhere":
                self._tell({"say": "elsewhere", "bot": bot})
            case "nowhere":
                loop = asyncio.get_running_loop()
                loop.call_later(_HOLD_FOREIGN, lambda: started(self._return(bot), self._errands))

    # -- what a read brings --------------------------------------------------------------------------------

    def _room(self) -> Room:
        """How much room there is now. It can only grow until the read ends."""
        rooms: dict[str, tuple[int, int]] = {}
        for bot in tuple(self._narrow):
            desk = self._desk(bot)
            here = self._roster.place_of(bot) == "here"
            free, calls = self._free(desk) if here else (0, 0)
            if desk.token or desk.taking or free <= 0:
                # With all slots in use the token is held for a moment: it would come back at once.
                rooms[bot] = 0, 0
            elif free < self._usual or calls < _LEAST_CALL_SLOTS:
                rooms[bot] = min(self._usual, free), max(0, calls)
            else:
                self._narrow.discard(bot)
        return Room(self._usual, _LEAST_CALL_SLOTS, rooms)

    def _got(self, work: Work, stalls: int) -> None:
        if self._stopping or self._roster.place_of(work.bot) != "here":
            self._narrow.add(work.bot)
            started(self._mailbox.hand_back(work), self._errands)
        else:
            self._start(self._desk(work.bot), work, stalls)

    def _desk(self, bot: str) -> _Desk:
        desk = self._desks.get(bot)
        if desk is None:
            desk = self._desks[bot] = _Desk(bot)
        return desk

    # -- slots ---------------------------------------------------------------------------------------------

    def _use(self, desk: _Desk) -> None:
        """Use the token if a slot is free; otherwise look for callbacks, which have their own slots, or wait."""
        if desk.taking or self._stopping:
            return
        free, call_slots = self._free(desk)
        now = self._clock.monotonic()
        if free <= 0 and call_slots > 0 and now - desk.probed >= _HOLD:
            desk.probed = now
            free = 0
        elif free <= 0:
            self._narrow.add(desk.bot)
            if desk.timer is None:
                desk.timer = asyncio.get_running_loop().call_later(_HOLD, self._held_long_enough, desk)
            return
        self._cancel_timer(desk)
        desk.token = False
        desk.taking = True
        self._narrow.add(desk.bot)
        started(self._take(desk, min(_AT_ONCE, free), max(0, call_slots)), self._errands)

    def _free(self, desk: _Desk) -> tuple[int, int]:
        """Free slots here: for conversations, for callbacks."""
        resident = self._roster.find(desk.bot)
        slots = -(-(resident.spec.config.server.workers if resident is not None else 0) // self._lane.share)
        return slots - desk.busy, max(_LEAST_CALL_SLOTS, slots // 2) - desk.calls

    async def _take(self, desk: _Desk, free: int, calls: int) -> None:
        stalls = self._stalls()
        try:
            works = await self._mailbox.take(desk.bot, self._lane.owner, free, calls=calls)
        except StoreUnavailable:
            # Whether anything was taken is not known: if so, its lease runs out; the sweep brings the token back.
            works = []
        finally:
            desk.taking = False
        for work in works:
            self._start(desk, work, stalls)
        if desk.token:
            self._use(desk)

    def _start(self, desk: _Desk, work: Work, stalls: int) -> None:
        is_call = work.entry.kind == "call"
        if is_call:
            desk.calls += 1
        else:
            desk.busy += 1
        free, calls = self._free(desk)
        if free < self._usual or calls < _LEAST_CALL_SLOTS:
            self._narrow.add(work.bot)
        task = asyncio.get_running_loop().create_task(self._work_through(work, stalls))
        self.tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self.tasks.discard(done)
            if is_call:
                desk.calls -= 1
            else:
                desk.busy -= 1
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("conversation broke off, this is a fault of the hub", bot=work.bot, place=place_of(error))
            if desk.token:
                self._use(desk)

        task.add_done_callback(ended)

    # -- tokens that cannot be used ------------------------------------------------------------------------

    def _held_long_enough(self, desk: _Desk) -> None:
        desk.timer = None
        self._drop_token(desk)

    def _drop_token(self, desk: _Desk) -> None:
        self._cancel_timer(desk)
        if desk.token:
            desk.token = False
            started(self._return(desk.bot), self._errands)

    def _cancel_timer(self, desk: _Desk) -> None:
        if desk.timer is not None:
            desk.timer.cancel()
            desk.timer = None

    async def _return(self, *bots: str) -> None:
        try:
            await self._mailbox.give_back(*bots)
        except StoreUnavailable:
            pass  # the sweep gives every bot with ready conversations a token
