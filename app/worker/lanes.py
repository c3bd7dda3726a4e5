"""The node's worker processes: kept alive, replaced when they die or their code changes, and listened to."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Coroutine
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StartError
from app.core.logs import get_logger
from app.core.metrics import WORKER_DEATHS
from app.core.tasks import started
from app.model.catalog import Catalog
from app.worker.abandon import Abandons, give_free
from app.worker.apart import Apart
from app.worker.code_faults import CodeFaults, HandlerFault
from app.worker.dial import Dials
from app.worker.lane import LaneKind
from app.worker.line import Line, Message
from app.worker.nursery import Nursery
from app.worker.processes import Processes, WorkerProcess
from app.worker.quarantine import Quarantine
from app.worker.solo import SoloDesk
from app.worker.successors import Successors
from app.worker.watch import LoopWatch

# A supervisor's SIGTERM to the whole group may reach a worker this much sooner than the node.
_SAME_SIGNAL: Final = 1.0
# After its drain a worker hands back what is left and runs on_stop hooks.
_LAST_WORDS: Final = 10.0

log = get_logger(__name__)


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
        self._shared = processes
        self._clock = clock
        self._all = Processes(nursery, dials, name=name, shared=processes, clock=clock)
        self._apart = Apart(quarantine or Quarantine(clock=clock), self._all, catalog)
        self._successors = Successors(self._all, self._apart, clock, self._go)
        self._watch = LoopWatch(self._all, self._apart, self._successors, catalog, clock, self._free)
        self._solos = SoloDesk(self._spawn_solo, self._all.tell, self._all.kill)
        self._tasks: set[asyncio.Task[object]] = set()
        self._ending = asyncio.Event()
        self._code = CodeFaults(self._all, catalog)
        self.lost_nursery = asyncio.Event()
        """Set when the nursery died: the node cannot work on and has to be restarted."""

    # -- what the node asks for ----------------------------------------------------------------------------

    async def start(self, patience: float = 10.0) -> None:
        """Start the workers and wait until one serves; StartError if none does within `patience` seconds."""
        self._nursery.listen(self)
        self._catalog.subscribe(self._apart.reloaded)
        for _ in range(self._shared):
            self._successors.start("shared")
        self._go(self._watch.run())
        try:
            async with asyncio.timeout(patience):
                while not self.ready:
                    await self._all.change()
        except TimeoutError:
            raise StartError(
                f"no worker process was ready within {patience:.0f} s: its error stands in the log above"
            ) from None

    async def stop(self, drain: float) -> None:
        """Let every worker finish or hand back what it holds within `drain` seconds, then end them all."""
        self._all.closed = True
        self.expect_end()
        for process in self._all:
            process.tell({"do": "drain"})
        try:
            async with asyncio.timeout(drain + _LAST_WORDS):
                while self._all and not self.lost_nursery.is_set():
                    await self._all.change()
        except TimeoutError:
            log.warning("worker processes did not end in time and are killed", left=len(self._all))
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._all.close()

    def expect_end(self) -> None:
        """Note that the node was told to stop: a worker that ends before `stop` may have been told the same."""
        self._ending.set()

    def look(self) -> None:
        """Have every worker read what changed in the bots' directories; none looks there by itself."""
        for process in self._all:
            process.tell({"do": "look"})

    def renew(self) -> None:
        """Replace every worker by a new one, which loads all handlers again; the old ones finish what they have."""
        for process in self._all:
            if process.spare:
                process.retire()
            elif process.lane.kind != "solo" and process.state != "retiring" and not self._all.has_heir(process):
                successor = self._all.spawn(process.lane.kind, self._apart.bots)
                if successor is not None:
                    successor.replaces = process.lane.number

    @property
    def ready(self) -> bool:
        """Whether at least one shared worker serves."""
        return self._all.serving

    @property
    def faults(self) -> dict[str, HandlerFault]:
        """What is wrong with the code of bots, and whether an older version of it still runs."""
        return self._code.all()

    @property
    def quarantined(self) -> tuple[str, ...]:
        """The bots that are kept apart."""
        return self._apart.bots

    @property
    def pids(self) -> dict[int, LaneKind]:
        """The living worker processes."""
        return {one.pid: one.lane.kind for one in self._all if one.pid}

    # -- what the nursery says -----------------------------------------------------------------------------

    def born(self, number: int, pid: int, line: socket.socket) -> None:
        process = self._all.find(number)
        assert process is not None, "the nursery bears what was ordered"
        process.pid = pid
        process.line = Line(line)
        for message in process.pending:
            process.line.tell(message)
        process.pending.clear()
        # Its end needs no answer: the nursery reports the death, with the status.
        self._go(process.line.open(lambda message: self._heard(process, message), lambda: None))

    def died(self, number: int, pid: int, status: int) -> None:
        culprit = self._culprit(number)
        process = self._all.gone(number)
        lane = process.lane
        # Also unasked: a supervisor's SIGTERM reaches workers directly, and they drain. But bot code can exit with 0.
        expected = status == 0 and not culprit
        if lane.kind == "solo":
            self._go(self._last_words(process, status))
        else:
            self._all.hang_up(process)
            self._solos.gone(number)
        if expected:
            log.info("worker process ended", lane=lane.kind, pid=pid)
        else:
            WORKER_DEATHS.labels(culprit).inc()
            log.error("worker process died", lane=lane.kind, pid=pid, status=status, bot=culprit or None)
        # A solo works under its asker's claim; a worker told to leave has handed back what it held.
        if lane.kind != "solo" and not (expected and (self._all.closed or process.state == "retiring")):
            self._free(lane.owner, list(self._catalog.bots))
        if culprit and lane.kind != "solo":
            self._apart.offend(culprit, "its code was running when a worker process died")
        if not self._all.closed and process.state != "retiring":
            self._successors.replace(process, culprit)
        self._all.notify()

    async def _last_words(self, process: WorkerProcess, status: int) -> None:
        """When the process's end is known, the outcome of an event that ran alone may still be in the line."""
        try:
            if process.line is not None:
                await process.line.heard_out()
            if status == -signal.SIGTERM:
                await asyncio.wait({self._go(self._ending.wait())}, timeout=_SAME_SIGNAL)
            # One that could not even be forked says nothing of the event.
            self._solos.gone(process.lane.number, told_to_end=self._ending.is_set() or not process.pid)
        finally:
            self._all.hang_up(process)

    def lost(self) -> None:
        self.lost_nursery.set()
        self._all.forget()

    def _culprit(self, number: int) -> str:
        process = self._all.find(number)
        assert process is not None, "nothing dies that was not ordered"
        slot = process.lane.slot
        holder = self._dials.on_loop(slot)
        if holder is not None:
            return holder.bot
        # With several bots in threads nobody can say whose it was: counting deaths, and running events alone, finds
        # out.
        threads = {one.bot for one in self._dials.in_threads(slot)}
        return threads.pop() if len(threads) == 1 else self._dials.importing(slot)

    def _spawn_solo(self, asker: int) -> int | None:
        """Spawn a process for one event alone, under its asker's claim."""
        asking = self._all.find(asker)
        process = self._all.spawn("solo", self._apart.bots, asking.lane.owner) if asking is not None else None
        return process.lane.number if process is not None else None

    # -- what workers say ----------------------------------------------------------------------------------

    def _heard(self, process: WorkerProcess, message: Message) -> None:
        match message["say"]:
            case "ready":
                process.faults = message.get("faults", {})
                self._served(process)
            case "faults":
                process.faults = message["faults"]
                self._code.forget_removed()
            case "start":
                self._code.started(message["bot"], message["revision"], message["fault"])
            case "elsewhere":
                lane = self._all.of_kind("quarantine")
                if lane is not None and message["bot"] in self._apart.bots:
                    lane.tell({"do": "take", "bot": message["bot"]})
            case "solo" if self._all.find(process.lane.number) is not None:  # otherwise another has its events already
                self._solos.ask(process.lane.number, message)
            case "outcome":
                self._solos.outcome(process.lane.number, message)

    def _served(self, process: WorkerProcess) -> None:
        if process.state == "starting":
            process.state = "ready"
        before = list(self._all.replaced_by(process))
        old = next((one for one in before if one.state == "ready"), None)
        if old is not None and (worse := process.faults.keys() - old.faults.keys()):
            # Working code is not given up for code that cannot be read.
            log.error("handlers could not be read anew, the last good code goes on", bots=sorted(worse))
            self._code.refuse(process.faults)
            process.retire()
        elif before:
            self._code.replace()
            for one in before:
                one.retire()
        self._apart.have_lane()
        self._all.notify()

    # -- tasks ---------------------------------------------------------------------------------------------

    def _free(self, owner: str, bots: list[str], alive: bool = False) -> None:
        self._go(give_free(self._leases, self._clock, owner, bots, alive=alive))

    def _go(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        return started(work, self._tasks)
