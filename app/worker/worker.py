"""A worker process from start to end: serve, retire, drain."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

from app.core.errors import StartError
from app.core.logs import get_logger
from app.core.tasks import started
from app.queue.claims import Claims
from app.queue.fetch import Fetch
from app.queue.leases import Leases
from app.queue.mailbox import LEASE_MS
from app.worker.attempt import Attempts
from app.worker.calls import Answers
from app.worker.consumer import Consumer
from app.worker.context import Means
from app.worker.declare import Declarer
from app.worker.dial import Dial
from app.worker.dispatcher import Dispatcher
from app.worker.heartbeat import Heartbeat
from app.worker.holds import Holds
from app.worker.lane import Lane
from app.worker.line import Line, Message
from app.worker.outcome import PUT_BACK
from app.worker.parts import Parts
from app.worker.reminders import Reminders
from app.worker.roster import Roster
from app.worker.runner import Runner, Threads
from app.worker.sift import Sieve
from app.worker.solo import Solos, unpacked

_STOP_HOOKS_TIME: Final = 5.0
_RELEASE_TIME: Final = 2.0
# Longer than a read takes if Redis answers in time.
_LAST_READ: Final = 1.5
# A worker that says it is ready should have its handlers; one import that never ends must not hold up the others.
_IMPORT_PATIENCE: Final = 2.0

log = get_logger(__name__)


class Worker:
    """One worker process."""

    def __init__(self, lane: Lane, parts: Parts) -> None:
        if lane.line is None:
            raise StartError("a worker process needs its line to the node: it is started by the nursery only")
        self._lane = lane
        self._parts = parts
        self._line = Line(lane.line)
        clock = parts.clock
        self._take = asyncio.Event()
        self._leave = asyncio.Event()
        self._hurry = asyncio.Event()
        self._holds = Holds()
        self._dial = Dial(parts.dials, lane.slot, self._holds.tell)
        self._claims = Claims()
        self._roster = Roster(lane, parts.catalog, parts.handlers, parts.sender, clock=clock)
        answers = Answers(parts.calls, parts.sender, parts.ledgers, clock=clock)
        reminders = Reminders(parts.timetable, clock=clock)
        self._attempts = Attempts(
            self._roster,
            Runner(self._dial, self._leave, parts.drain_timeout),
            Sieve(parts.link, parts.keys, clock=clock),
            answers,
            Means(parts.sender, parts.ledgers, parts.tasks, parts.cache, parts.outbox, reminders),
            parts.keyring,
            parts.own,
            self._line.tell,
            clock=clock,
        )
        self._solos = Solos(self._line.tell)
        self._dispatcher = Dispatcher(
            parts.mailbox,
            self._roster,
            self._attempts,
            answers,
            self._claims,
            Leases(parts.link, parts.keys),
            self._dial,
            self._solos,
            clock=clock,
        )
        self._consumer = Consumer(
            lane,
            parts.mailbox,
            Fetch(parts.link, parts.keys, parts.mailbox),
            self._roster,
            self._dispatcher.work_through,
            self._line.tell,
            self._dial.stalls,
            clock=clock,
        )
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(self) -> int:
        """Serve until told to leave; returns the exit status."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._dial.task_factory)
        loop.set_default_executor(Threads(thread_name_prefix="helper"))
        loop.add_signal_handler(signal.SIGTERM, self._drain)
        # Ctrl-C reaches the whole terminal group: the node hears it too, and says when.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        self._dial.tick()
        self._holds.start(self._dial)
        try:
            await self._line.open(self._heard, self._drain)
            if self._lane.kind == "solo":
                await self._serve_one()
            else:
                await self._serve()
            await self._line.close()
        finally:
            self._dial.rest()
            self._holds.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return 0

    async def _serve(self) -> None:
        await self._parts.handlers.ready(self._roster.mine(), _IMPORT_PATIENCE)
        heartbeat = Heartbeat(self._claims, self._parts.keys, self._parts.open_heartbeat, lease_ms=LEASE_MS)
        heartbeat.start()
        self._consumer.refit()
        consuming = started(self._consume(), self._tasks) if self._lane.kind == "shared" else None
        self._line.tell({"say": "ready", "faults": self._roster.faults()})
        self._parts.catalog.subscribe(self._bots_changed)
        log.info("worker ready", lane=self._lane.kind, owner=self._lane.owner)
        await self._leave.wait()
        await self._finish(consuming)
        await heartbeat.stop()

    async def _consume(self) -> None:
        """Take work once the node says so: at once, or never if this worker was only a spare."""
        await self._take.wait()
        started(Declarer(self._roster, self._parts.timetable, clock=self._parts.clock).run(), self._tasks)
        await self._consumer.run()

    def _bots_changed(self, _: frozenset[str]) -> None:
        self._consumer.refit()
        started(self._tell_faults(), self._tasks)

    async def _tell_faults(self) -> None:
        """After a change of the bots, or of those served here, tell the node what is wrong with their code."""
        await self._parts.handlers.ready(self._roster.mine(), _IMPORT_PATIENCE)
        self._line.tell({"say": "faults", "faults": self._roster.faults()})

    async def _serve_one(self) -> None:
        self._line.tell({"say": "ready"})
        await self._leave.wait()

    # -- the end -------------------------------------------------------------------------------------------

    async def _finish(self, consuming: asyncio.Task[object] | None) -> None:
        """Let conversations end their present event; for `drain_timeout` only, if draining or all are stuck."""
        if consuming is not None:
            # Its blocked read ends by itself; broken off, it would lose what it takes.
            await asyncio.wait({consuming}, timeout=_LAST_READ)
            consuming.cancel()
        finishing = started(self._consumer.idle(), self._tasks)
        hurry = started(self._hurry.wait(), self._tasks)
        stuck = started(self._consumer.stuck(), self._tasks)
        await asyncio.wait({finishing, hurry, stuck}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({finishing}, timeout=self._parts.drain_timeout)
        if not finishing.done():
            await self._hand_back()
        try:
            async with asyncio.timeout(_STOP_HOOKS_TIME):
                await self._attempts.stop_hooks()
                await self._consumer.return_unused()
        except TimeoutError:
            log.warning("on_stop took too long and was broken off", seconds=_STOP_HOOKS_TIME)

    async def _hand_back(self) -> None:
        """Stop what still runs, and free its conversations with the attempt not counted."""
        left = self._claims.living()
        log.warning("handlers did not finish in time, their events are handed back", events=len(left))
        tasks = set(self._consumer.tasks)
        for task in tasks:
            task.cancel()
        # A thread cannot be stopped: its conversation is handed back nevertheless, and its verbs refuse everything.
        if tasks:  # otherwise only a token was on its way
            await asyncio.wait(tasks, timeout=_RELEASE_TIME)
        try:
            async with asyncio.timeout(_RELEASE_TIME):
                await asyncio.gather(*(self._parts.mailbox.hand_back(work) for work in left))
        except TimeoutError:
            log.warning("not everything could be handed back, the leases run out by themselves")

    # -- what the node says --------------------------------------------------------------------------------

    def _heard(self, message: Message) -> None:
        match message["do"]:
            case "bots":
                self._roster.keep_apart(message["bots"])
                started(self._tell_faults(), self._tasks)
            case "look":
                started(self._parts.look(), self._tasks)
            case "serve":
                self._take.set()
            case "take":
                self._consumer.offer(message["bot"])
            case "solo":
                self._solos.answered(message)
            case "retire":
                self._retire()
            case "drain":
                self._drain()
            case "run":
                started(self._run_alone(message["work"]), self._tasks)

    def _retire(self) -> None:
        """Take nothing new, and leave when everything is finished."""
        self._consumer.stop()
        self._dispatcher.ending = True
        self._take.set()
        self._leave.set()

    def _drain(self) -> None:
        """Retire within `drain_timeout`."""
        if self._lane.kind == "solo":
            # Its asker hands the event back when the time is over.
            asyncio.get_running_loop().call_later(self._parts.drain_timeout, self._leave.set)
            return
        self._retire()
        self._hurry.set()

    async def _run_alone(self, message: dict[str, Any]) -> None:
        work = unpacked(message)
        resident = self._roster.find(work.bot)
        # If the bot was removed meanwhile, nothing is at fault: the conversation is released with nothing counted.
        outcome = await self._attempts.make(work, resident) if resident else PUT_BACK
        self._line.tell({"say": "outcome", "outcome": outcome.message()})
        self._leave.set()
