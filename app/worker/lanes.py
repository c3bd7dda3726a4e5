"""The node's worker processes: kept alive, watched, and an offender moved to a lane of its own."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StartError, StoreUnavailable
from app.core.logs import get_logger
from app.core.metrics import QUARANTINES, WORKER_DEATHS
from app.model.catalog import Catalog
from app.worker.dial import Dials
from app.worker.lane import Lane, LaneKind
from app.worker.line import Line, Message
from app.worker.looks import HAND_OVER, LOOK_EVERY, Looks
from app.worker.nursery import Nursery
from app.worker.quarantine import Quarantine
from app.worker.solo import SoloDesk

OFFENCE: Final = 0.5
"""Seconds of a held loop after which the bot is kept apart."""
KILL_GRACE: Final = 5.0
"""Seconds beyond its `timeout` that a bot may hold a loop before the process is killed."""
_SHORT_LIFE: Final = 5.0
_LONGEST_PAUSE: Final = 5.0
_ABANDON_PATIENCE: Final = 10.0
# A supervisor's SIGTERM to the whole group may reach a worker so much sooner than the node.
_SAME_SIGNAL: Final = 1.0
# After its drain a worker hands back what is left and runs on_stop hooks.
_LAST_WORDS: Final = 10.0

log = get_logger(__name__)


class Abandons(Protocol):
    """What gives free the claims of a worker that is dead, or alive and blocked (`app.queue.leases`)."""

    async def abandon(self, owner: str, bots: Sequence[str], *, alive: bool = False) -> int: ...


@dataclass(frozen=True, slots=True)
class HandlerFault:
    """Why the code of a bot cannot be used as it stands in its file."""

    text: str
    runs: bool
    """Whether the last good version runs meanwhile."""


@dataclass(slots=True)
class _Process:
    """One worker process, from its order to its end."""

    lane: Lane
    ordered: float
    looks: Looks
    pid: int = 0
    line: Line | None = None
    state: Literal["starting", "ready", "retiring"] = "starting"
    judged: int = 0
    """The instant of the hold that was an offence already."""
    replaces: int = 0
    """The process that retires as soon as this one is ready."""
    faults: dict[str, str] = field(default_factory=dict)
    """What is wrong with the code of bots that it does not serve, or not as they are now."""
    pending: list[Message] = field(default_factory=list)
    """What to tell it as soon as it is born."""


class Lanes:
    """Starts, watches and replaces the worker processes of one node."""

    def __init__(
        self,
        nursery: Nursery,
        dials: Dials,
        leases: Abandons,
        catalog: Catalog,
        *,
        name: str,
        processes: int = 1,
        quarantine: Quarantine | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`name` is node and boot, without spaces: owners of claims are named after it."""
        self._nursery = nursery
        self._dials = dials
        self._leases = leases
        self._catalog = catalog
        self._name = name
        self._processes = processes
        self._quarantine = quarantine or Quarantine(clock=clock)
        self._clock = clock
        self._all: dict[int, _Process] = {}
        self._slots = list(range(dials.slots))
        self._count = 0
        self._short_lives = 0
        self._solos = SoloDesk(self._spawn_solo, self._tell_number, self._kill)
        self._tasks: set[asyncio.Task[object]] = set()
        self._hanging_up: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._ending = asyncio.Event()
        self._refused: dict[str, str] = {}
        """What kept the newest code from replacing code that works."""
        self._changed = asyncio.Event()
        self.lost_nursery = asyncio.Event()
        """Set when the nursery died: the node cannot work on and has to be started anew."""

    # -- what the node asks for ----------------------------------------------------------------------------

    async def start(self, patience: float = 10.0) -> None:
        """Start the workers and wait until one serves; StartError when none does in `patience` seconds."""
        self._nursery.listen(self)
        self._catalog.subscribe(self._reloaded)
        for _ in range(self._processes):
            self._spawn("shared")
        self._go(self._watch())
        try:
            async with asyncio.timeout(patience):
                while not self.ready:
                    await self._change()
        except TimeoutError:
            raise StartError(
                f"no worker process was ready within {patience:.0f} s: its error stands in the log above"
            ) from None

    async def stop(self, drain: float) -> None:
        """Have every worker finish or hand back what it holds within `drain` seconds, then end all of them."""
        self._stopping = True
        self.expect_end()
        for process in self._all.values():
            self._tell(process, {"do": "drain"})
        try:
            async with asyncio.timeout(drain + _LAST_WORDS):
                while self._all and not self.lost_nursery.is_set():
                    await self._change()
        except TimeoutError:
            log.warning("worker processes did not end in time and are killed", left=len(self._all))
        for process in self._all.values():
            self._kill(process.lane.number)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._all.values():
            self._hang_up(process)
        await asyncio.gather(*self._hanging_up)
        self._nursery.close()

    def expect_end(self) -> None:
        """The node was told to stop: a worker that ends before `stop` may have been told the same."""
        self._ending.set()

    def renew(self) -> None:
        """Replace every worker by a new one, which reads all handlers anew; the old ones finish what they have."""
        for process in list(self._all.values()):
            if process.lane.kind != "solo" and process.state != "retiring":
                successor = self._spawn(process.lane.kind)
                if successor is not None:
                    successor.replaces = process.lane.number

    def pardon(self, bot: str) -> None:
        """Let a bot back among the others: its handler was reloaded."""
        if self._quarantine.pardon(bot):
            self._regroup()

    @property
    def ready(self) -> bool:
        """Whether at least one shared worker serves."""
        return any(one.lane.kind == "shared" and one.state == "ready" for one in self._all.values())

    @property
    def faults(self) -> dict[str, HandlerFault]:
        """What is wrong with the code of bots, and whether an older version of it still runs."""
        found: dict[str, HandlerFault] = {}
        for process in self._all.values():
            if process.state == "ready":
                found |= {bot: HandlerFault(fault, runs=False) for bot, fault in process.faults.items()}
        kept = {bot: HandlerFault(fault, runs=True) for bot, fault in self._refused.items() if bot not in found}
        return found | kept

    @property
    def quarantined(self) -> tuple[str, ...]:
        """The bots that are kept apart."""
        return self._quarantine.bots

    @property
    def pids(self) -> dict[int, LaneKind]:
        """The living worker processes."""
        return {one.pid: one.lane.kind for one in self._all.values() if one.pid}

    # -- what the nursery says -----------------------------------------------------------------------------

    def born(self, number: int, pid: int, line: socket.socket) -> None:
        process = self._all[number]
        process.pid = pid
        process.line = Line(line)
        for message in process.pending:
            process.line.tell(message)
        process.pending.clear()
        # Its end needs no answer: the nursery reports the death, with the status.
        self._go(process.line.open(lambda message: self._heard(process, message), lambda: None))

    def died(self, number: int, pid: int, status: int) -> None:
        process = self._all.pop(number)
        lane = process.lane
        culprit = self._culprit(lane.slot)
        # Also unasked: a supervisor's SIGTERM reaches workers directly, and they drain. But bot code can exit with 0.
        expected = status == 0 and not culprit
        self._dials.wipe(lane.slot)
        self._slots.append(lane.slot)
        if lane.kind == "solo":
            self._go(self._last_words(process, status))
        else:
            self._hang_up(process)
            self._solos.gone(number)
        if expected:
            log.info("worker process ended", lane=lane.kind, pid=pid)
        else:
            WORKER_DEATHS.labels(culprit).inc()
            log.error("worker process died", lane=lane.kind, pid=pid, status=status, bot=culprit or None)
        # A solo works under its asker's claim; who was told to leave has handed back what it held.
        if lane.kind != "solo" and not (expected and (self._stopping or process.state == "retiring")):
            self._go(self._abandon(lane.owner, list(self._catalog.bots)))
        if culprit and lane.kind != "solo":
            self._offence(culprit, "its code was running when a worker process died")
        if not self._stopping and process.state != "retiring":
            self._replace(process, culprit)
        self._notify()

    async def _last_words(self, process: _Process, status: int) -> None:
        """The outcome of an event that ran alone may still lie in the line when the process' end is known."""
        try:
            if process.line is not None:
                await process.line.heard_out()
            if status == -signal.SIGTERM:
                await asyncio.wait({self._go(self._ending.wait())}, timeout=_SAME_SIGNAL)
            self._solos.gone(process.lane.number, told_to_end=self._ending.is_set())
        finally:
            self._hang_up(process)

    def lost(self) -> None:
        for process in self._all.values():
            self._hang_up(process)
        self._all.clear()
        self.lost_nursery.set()
        self._notify()

    # -- watching ------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look at the dials; memory that is read, not a queue that is polled."""
        looks = 0
        last = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_EVERY)
            looks += 1
            last, before = self._clock.monotonic(), last
            for process in list(self._all.values()):
                self._look(process, last - before)
            if looks % 20 == 0 and (free := self._quarantine.release_due()):
                log.info("bots released from quarantine", bots=free)
                self._regroup()

    def _look(self, process: _Process, interval: float) -> None:
        blocked = process.looks.look(interval)
        if blocked is None:
            return
        held, culprit = blocked.seconds, blocked.culprit
        shared = process.lane.kind == "shared" and process.state == "ready"
        if held > max(map(self._timeout, blocked.bots)) + KILL_GRACE:
            log.error("worker process killed, a bot blocks it", bots=blocked.bots, seconds=round(held, 1))
            self._kill(process.lane.number)
        elif held > OFFENCE and culprit and process.judged != blocked.since and process.lane.kind != "solo":
            process.judged = blocked.since
            self._offence(culprit, "it held the loop of its worker over 500 ms")
        if held > HAND_OVER and shared:
            log.warning("worker process handed over, a bot blocks it", bots=blocked.bots, seconds=round(held, 2))
            if culprit and self._quarantine.warn(culprit, self._revision(culprit)):
                self._kept_apart(culprit, "it held the loop of its worker over 200 ms again and again")
            if self._spawn("shared") is None:
                return  # no room for a successor: one that blocks is better than none
            self._retire(process)
            # The blocked bot keeps its own conversations: they stay in order behind the step that blocks.
            others = [bot for bot in self._catalog.bots if bot not in blocked.bots]
            self._go(self._abandon(process.lane.owner, others, alive=True))

    def _timeout(self, bot: str) -> float:
        spec = self._catalog.bots.get(bot)
        return spec.config.timeout if spec else 60.0

    def _culprit(self, slot: int) -> str:
        holder = self._dials.on_loop(slot)
        if holder is not None:
            return holder.bot
        # With several bots in threads nobody can say whose it was: the counted deaths find out, alone.
        threads = {one.bot for one in self._dials.in_threads(slot)}
        return threads.pop() if len(threads) == 1 else ""

    async def _abandon(self, owner: str, bots: Sequence[str], *, alive: bool = False) -> None:
        deadline = self._clock.monotonic() + _ABANDON_PATIENCE
        while self._clock.monotonic() < deadline:  # after that every lease has run out anyway
            try:
                freed = await self._leases.abandon(owner, bots, alive=alive)
                # A worker that blocks or has just died may have had a blocked read open, which swallowed the wake
                # tokens of the first pass; it cannot swallow those of a second.
                await self._clock.sleep(LOOK_EVERY)
                freed += await self._leases.abandon(owner, bots, alive=alive)
            except StoreUnavailable:
                await self._clock.sleep(0.5)
            else:
                log.info("conversations of a worker given free", owner=owner, conversations=freed)
                return

    # -- quarantine ----------------------------------------------------------------------------------------

    def _offence(self, bot: str, why: str) -> None:
        if self._quarantine.offend(bot, self._revision(bot)):
            self._kept_apart(bot, why)

    def _kept_apart(self, bot: str, why: str) -> None:
        QUARANTINES.labels(bot).inc()
        log.warning("bot moved to a worker process of its own", bot=bot, why=why)
        self._regroup()

    def _regroup(self) -> None:
        """Tell every worker who is apart, and have a quarantine lane exactly while somebody is."""
        apart = self._quarantine.bots
        for process in self._all.values():
            if process.lane.kind != "solo":
                self._tell(process, {"do": "bots", "bots": list(apart)})
        lane = self._of_kind("quarantine")
        if apart and lane is None and not self._stopping:
            self._spawn("quarantine")
        elif not apart and lane is not None:
            self._retire(lane)

    def _reloaded(self, bots: frozenset[str]) -> None:
        freed = [bot for bot in bots if self._quarantine.pardon(bot, self._revision(bot))]
        if freed:
            log.info("bots released from quarantine", bots=freed)
            self._regroup()

    def _revision(self, bot: str) -> str:
        spec = self._catalog.bots.get(bot)
        return spec.revision if spec else ""

    # -- processes -----------------------------------------------------------------------------------------

    def _spawn(self, kind: LaneKind, asker: Lane | None = None) -> _Process | None:
        if self._stopping or not self._slots:
            return None
        self._count += 1
        lane = Lane(
            number=self._count,
            slot=self._slots.pop(0),
            kind=kind,
            owner=asker.owner if asker else f"{self._name}:{self._count}",
            share=self._processes if kind == "shared" else 1,
            bots=self._quarantine.bots,
        )
        looks = Looks(self._dials, lane.slot)
        process = self._all[lane.number] = _Process(lane, self._clock.monotonic(), looks)
        self._nursery.spawn(lane)
        return process

    def _spawn_solo(self, asker: int) -> int | None:
        """A process for an event alone, under the claim of who asked for it."""
        asking = self._all.get(asker)
        process = self._spawn("solo", asking.lane) if asking is not None else None
        return process.lane.number if process is not None else None

    def _kill(self, number: int) -> None:
        self._nursery.kill(number, signal.SIGKILL)

    def _hang_up(self, process: _Process) -> None:
        if process.line is not None:
            task = asyncio.create_task(process.line.close())
            self._hanging_up.add(task)
            task.add_done_callback(self._hanging_up.discard)

    def _retire(self, process: _Process) -> None:
        process.state = "retiring"
        self._tell(process, {"do": "retire"})

    def _replace(self, process: _Process, culprit: str) -> None:
        kind = process.lane.kind
        if kind == "solo" or (kind == "quarantine" and not self._quarantine.bots):
            return
        if self._clock.monotonic() - process.ordered > _SHORT_LIFE:
            self._short_lives = 0
        elif not (culprit and kind == "shared"):  # the culprit is apart now: the next one lives
            self._short_lives += 1
        pause = min(_LONGEST_PAUSE, 0.1 * 2**self._short_lives) if self._short_lives > 1 else 0.0
        if pause:
            log.warning("worker processes die young, the next one waits", seconds=pause, lane=kind)
            self._go(self._spawn_later(kind, pause))
        elif kind == "shared" or self._of_kind("quarantine") is None:
            self._spawn(kind)

    async def _spawn_later(self, kind: LaneKind, pause: float) -> None:
        await self._clock.sleep(pause)
        if kind == "shared" or (self._quarantine.bots and self._of_kind("quarantine") is None):
            self._spawn(kind)

    def _of_kind(self, kind: LaneKind) -> _Process | None:
        living = (one for one in self._all.values() if one.lane.kind == kind and one.state != "retiring")
        return next(living, None)

    # -- what workers say ----------------------------------------------------------------------------------

    def _tell(self, process: _Process, message: Message) -> None:
        if process.line is not None:
            process.line.tell(message)
        else:
            process.pending.append(message)

    def _tell_number(self, number: int, message: Message) -> None:
        if (process := self._all.get(number)) is not None:
            self._tell(process, message)

    def _heard(self, process: _Process, message: Message) -> None:
        match message["say"]:
            case "ready":
                process.faults = message.get("faults", {})
                self._served(process)
            case "faults":
                process.faults = message["faults"]
                self._refused = {bot: fault for bot, fault in self._refused.items() if bot in self._catalog.bots}
            case "elsewhere":
                lane = self._of_kind("quarantine")
                if lane is not None and message["bot"] in self._quarantine:
                    self._tell(lane, {"do": "take", "bot": message["bot"]})
            case "solo":
                self._solos.ask(process.lane.number, message)
            case "outcome":
                self._solos.outcome(process.lane.number, message)

    def _served(self, process: _Process) -> None:
        if process.state == "starting":
            process.state = "ready"
        old = self._all.get(process.replaces)
        if old is not None and old.state == "ready" and (worse := process.faults.keys() - old.faults.keys()):
            # Code that works is not given up for code that cannot be read.
            log.error("handlers could not be read anew, the last good code goes on", bots=sorted(worse))
            self._refused = process.faults
            self._retire(process)
        elif old is not None:
            self._refused = {}
            self._retire(old)
        self._notify()

    # -- waiting -------------------------------------------------------------------------------------------

    def _notify(self) -> None:
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _go(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
