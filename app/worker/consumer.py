"""Takes ready conversations, fairly over bots, as far as each bot has slots here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.queue.mailbox import Mailbox
from app.queue.work import Work
from app.worker.lane import Lane
from app.worker.line import Message
from app.worker.outcome import place_of
from app.worker.roster import Roster

# A blocked read ends by itself so often, so that a worker that retires need not break it off and lose a token.
_BLOCK: Final = 1.0
# How long a bot's wake token waits here for a slot before another node may use it.
_HOLD: Final = 0.05
# A bot that nobody here serves: long enough not to spin, short enough for a node that does.
_HOLD_FOREIGN: Final = 0.2
_AT_ONCE: Final = 64
_LEAST_CALL_SLOTS: Final = 4
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
    """Gets wake tokens, takes conversations with them, starts a task for each."""

    def __init__(
        self,
        lane: Lane,
        mailbox: Mailbox,
        roster: Roster,
        work_through: Callable[[Work], Coroutine[Any, Any, None]],
        tell: Callable[[Message], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._lane = lane
        self._mailbox = mailbox
        self._roster = roster
        self._work_through = work_through
        self._tell = tell
        self._clock = clock
        self._desks: dict[str, _Desk] = {}
        self._stopping = False
        self.tasks: set[asyncio.Task[None]] = set()
        """The conversations that are being worked through."""
        self._errands: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until `stop`; outlives every outage. Not for the quarantine lane, which gets its tokens from the node."""
        pause = _FIRST_PAUSE
        while not self._stopping:
            try:
                bot = await self._mailbox.next_bot(_BLOCK)
                pause = _FIRST_PAUSE
                if bot is not None:
                    self.offer(bot)
            except StoreUnavailable as error:
                log.warning("no work can be fetched, Redis is away", error=str(error), pause=pause)
                await self._clock.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
            except Exception as error:
                # Without this task the worker would live on and take nothing, for no bot.
                log.error("no work was fetched, this is a fault of the hub", place=place_of(error))
                await self._clock.sleep(_LONGEST_PAUSE)

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

    def offer(self, bot: str) -> None:
        """A wake token of a bot: it has ready conversations."""
        if self._stopping:
            self._errand(self._return(bot))
            return
        match self._roster.place_of(bot):
            case "here":
                desk = self._desks.get(bot)
                if desk is None:
                    desk = self._desks[bot] = _Desk(bot)
                desk.token = True
                self._use(desk)
            case "elsewhere":
                self._tell({"say": "elsewhere", "bot": bot})
            case "nowhere":
                loop = asyncio.get_running_loop()
                loop.call_later(_HOLD_FOREIGN, lambda: self._errand(self._return(bot)))

    # -- slots ---------------------------------------------------------------------------------------------

    def _use(self, desk: _Desk) -> None:
        """Use the token if a slot is free; else look for callbacks, which have slots of their own; else wait."""
        if desk.taking or self._stopping:
            return
        slots = self._slots(desk.bot)
        free = min(_AT_ONCE, slots - desk.busy)
        call_slots = max(_LEAST_CALL_SLOTS, slots // 2) - desk.calls
        now = self._clock.monotonic()
        if free <= 0 and call_slots > 0 and now - desk.probed >= _HOLD:
            desk.probed = now
            free = 0
        elif free <= 0:
            if desk.timer is None:
                desk.timer = asyncio.get_running_loop().call_later(_HOLD, self._held_long_enough, desk)
            return
        self._cancel_timer(desk)
        desk.token = False
        desk.taking = True
        self._errand(self._take(desk, free, max(0, call_slots)))

    def _slots(self, bot: str) -> int:
        resident = self._roster.find(bot)
        workers = resident.spec.config.server.workers if resident is not None else 0
        return -(-workers // self._lane.share)

    async def _take(self, desk: _Desk, free: int, calls: int) -> None:
        try:
            works = await self._mailbox.take(desk.bot, self._lane.owner, free, calls=calls)
        except StoreUnavailable:
            # Whether it was taken is not known: what was runs out its lease, the sweep brings the token back.
            works = []
        finally:
            desk.taking = False
        for work in works:
            self._start(desk, work)
        if desk.token:
            self._use(desk)

    def _start(self, desk: _Desk, work: Work) -> None:
        is_call = work.entry.kind == "call"
        if is_call:
            desk.calls += 1
        else:
            desk.busy += 1
        task = asyncio.get_running_loop().create_task(self._work_through(work))
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
            self._errand(self._return(desk.bot))

    def _cancel_timer(self, desk: _Desk) -> None:
        if desk.timer is not None:
            desk.timer.cancel()
            desk.timer = None

    async def _return(self, *bots: str) -> None:
        try:
            await self._mailbox.give_back(*bots)
        except StoreUnavailable:
            pass  # the sweep gives every bot with ready conversations a token

    def _errand(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
