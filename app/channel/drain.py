"""Drains the outbox: takes chats that have messages, fairly among bots, and sends as many at once as it has slots."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from app.channel.deliver import Delivery
from app.channel.outbox import Outbox
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import AppRefused, FeishuLimited, Fenced, SlotTimeout, StoreUnavailable
from app.core.logs import get_logger
from app.core.tasks import started
from app.model.catalog import Catalog
from app.queue.claims import Claims
from app.queue.envelope import CALL_PREFIX
from app.queue.leases import Leases
from app.queue.work import Work

_BLOCK: Final = 1.0
# How long a bot's wake token waits here for a slot before another node may use it.
_HOLD: Final = 0.05
_BEAT: Final = 1.0
_PAUSE: Final = 0.5
# How long a message may wait for its send slot; if others want its place, it is their turn then.
_PATIENCE: Final = 2.0
_PATIENCE_FULL: Final = 0.25
# A chat is let go after this many messages, and taken again behind the bot's others.
_TURNS_IN_A_ROW: Final = 20
_RELEASE_TIME: Final = 2.0
# A used-up month may end or be given more calls; a secret may be corrected.
_LONG_REST: Final = 10.0
# Used where only a call can tell whether the app may speak again: each counts towards the month.
_ASKED_AGAIN: Final = 60.0

log = get_logger(__name__)


@dataclass(slots=True)
class _Desk:
    """One bot's slots in this node: those for what it sends one by one (`ahead`), and those for what goes to many."""

    bot: str
    busy: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    taking: bool = False
    token: bool = False
    """Whether this node has the bot's wake token."""
    timer: asyncio.TimerHandle | None = None
    dry: bool = False
    """Whether nothing was found for the free slots: whatever waits needs slots of the other kind."""
    rest_until: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})
    """Until when (monotonic) no message of a kind may be sent, whoever its receiver."""


class OutboxDrainer:
    """Sends what waits, from `run` until `stop`; outlives every outage of Redis and of Feishu."""

    def __init__(
        self,
        outbox: Outbox,
        delivery: Delivery,
        leases: Leases,
        catalog: Catalog,
        owner: str,
        *,
        slots: int,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`owner` names this node and its boot; `slots` are those of one bot, half for each kind of message."""
        self._mailbox = outbox.queue.mailbox
        self._delivery = delivery
        self._leases = leases
        self._catalog = catalog
        self._owner = owner
        self._slots = max(1, slots // 2)
        self._clock = clock
        self._claims = Claims()
        self._desks: dict[str, _Desk] = {}
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._errands: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until cancelled, after `stop`; the sweep brings back a token that is lost then."""
        beating = asyncio.create_task(self._beat(), name="outbox leases")
        away = False
        try:
            while True:
                try:
                    bot = await self._mailbox.next_bot(_BLOCK)
                    away = False
                    if bot is not None:
                        self._offer(bot)
                except StoreUnavailable as error:
                    if not away:
                        log.warning("nothing is taken from the outbox, Redis is away", error=str(error))
                    away = True
                    await self._clock.sleep(_PAUSE)
                except Exception as error:
                    # Without this task nothing would ever leave the outbox.
                    log.error("nothing is taken from the outbox, a fault of the hub", error=type(error).__name__)
                    await self._clock.sleep(_PAUSE)
        finally:
            beating.cancel()

    async def stop(self, patience: float) -> None:
        """Take nothing new, and hand back what is not sent within `patience` seconds."""
        self._stopping = True
        if self._errands:  # otherwise what was asked for would come when nobody ends it any more
            await asyncio.wait(set(self._errands))
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=patience)
        left = self._claims.living()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_RELEASE_TIME)
        for work in left:
            await self._mailbox.hand_back(work)

    # -- slots -----------------------------------------------------------------------------------------------

    def _offer(self, bot: str) -> None:
        """Take a wake token: the bot has messages to send.

        One that cannot be used here is dropped; the sweep brings it back.
        """
        desk = self._desks.get(bot)
        if desk is None:
            desk = self._desks[bot] = _Desk(bot)
        if self._stopping or bot not in self._catalog.bots or self._clock.monotonic() < min(desk.rest_until.values()):
            return
        desk.token = True
        self._use(desk)

    def _free(self, desk: _Desk, kind: bool) -> int:
        resting = self._clock.monotonic() < desk.rest_until[kind]
        return 0 if resting else max(0, self._slots - desk.busy[kind])

    def _use(self, desk: _Desk) -> None:
        if desk.taking or self._stopping:
            return
        ahead, many = self._free(desk, True), self._free(desk, False)
        if desk.dry or (not ahead and not many):
            if desk.timer is None:
                desk.timer = asyncio.get_running_loop().call_later(_HOLD, self._held_long_enough, desk)
            return
        self._cancel_timer(desk)
        desk.token, desk.taking = False, True
        started(self._take(desk, ahead, many), self._errands)

    async def _take(self, desk: _Desk, ahead: int, many: int) -> None:
        try:
            works = await self._mailbox.take(desk.bot, self._owner, many, calls=ahead)
        except StoreUnavailable:
            works = []  # what was taken nevertheless is free again when its lease runs out
        finally:
            desk.taking = False
        # What is left put the token back at once; asking as fast as it comes would find the same again.
        desk.dry = not works and not (ahead and many)
        for work in works:
            self._start(desk, work)
        if desk.token:
            self._use(desk)

    def _start(self, desk: _Desk, work: Work) -> None:
        kind = work.conversation.startswith(CALL_PREFIX)
        desk.busy[kind] += 1

        def ended(_: object) -> None:
            desk.busy[kind] -= 1
            desk.dry = False
            if desk.token:
                self._use(desk)

        started(self._work_through(desk, work, kind), self._tasks).add_done_callback(ended)

    async def _work_through(self, desk: _Desk, first: Work, kind: bool) -> None:
        """Send the messages of one chat until none is left, or the chat is lost, parked or let go."""
        task = asyncio.current_task()
        assert task is not None
        work: Work | None = first
        turns = 0
        try:
            while work is not None:
                self._claims.hold(work, task)
                spec = self._catalog.bots.get(work.bot)
                if spec is None:
                    await self._mailbox.release(work)
                    return
                turns += 1
                full = desk.busy[kind] >= self._slots
                go_on = turns < _TURNS_IN_A_ROW and not self._stopping
                work = await self._delivery.one(work, spec, _PATIENCE_FULL if full else _PATIENCE, go_on)
        except (SlotTimeout, FeishuLimited, AppRefused) as error:
            self._rest(desk, kind, error)
        except Fenced:
            log.warning("chat lost to another node", bot=first.bot, message=first.entry.event_id)
        except StoreUnavailable:
            pass  # the lease runs out
        finally:
            self._claims.let_go(first, task)

    def _rest(self, desk: _Desk, kind: bool, error: SlotTimeout | FeishuLimited | AppRefused) -> None:
        now = self._clock.monotonic()
        if isinstance(error, AppRefused):
            if now >= desk.rest_until[kind]:
                log.error("messages wait, Feishu takes nothing of the app", bot=desk.bot, code=error.code)
            seconds = _ASKED_AGAIN if error.retry_after is None else min(error.retry_after, _LONG_REST)
        else:
            seconds = min(error.retry_after or 0.0, _PATIENCE if isinstance(error, SlotTimeout) else _LONG_REST)
        desk.rest_until[kind] = now + seconds

    # -- claims ----------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Extend the leases of the chats held, and stop work on those that were lost."""
        suspected: set[tuple[str, str]] = set()
        while True:
            await self._clock.sleep(_BEAT)
            try:
                gone = await self._leases.extend(self._claims.living())
            except StoreUnavailable:
                continue
            except Exception as error:
                # Without this task every claim of the node would run out again and again.
                log.error("leases not extended, this is a fault of the hub", error=type(error).__name__)
                continue
            for work in gone:
                # A claim that ended between the look here and the script there is not lost; a lost one still is next
                # time.
                if (work.bot, work.claim) in suspected:
                    self._claims.lost(work)
            suspected = {(work.bot, work.claim) for work in gone}

    # -- tokens that cannot be used --------------------------------------------------------------------------

    def _held_long_enough(self, desk: _Desk) -> None:
        desk.timer = None
        desk.dry = False
        if desk.token:
            desk.token = False
            started(self._give_back(desk.bot), self._errands)

    def _cancel_timer(self, desk: _Desk) -> None:
        if desk.timer is not None:
            desk.timer.cancel()
            desk.timer = None

    async def _give_back(self, *bots: str) -> None:
        try:
            await self._mailbox.give_back(*bots)
        except StoreUnavailable:
            pass  # the sweep gives every bot with ready chats a token
