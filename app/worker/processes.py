"""The worker processes of one node: orders them from the nursery, talks to them, and gives them up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from app.core.clock import Clock
from app.core.tasks import started
from app.worker.dial import Dials
from app.worker.lane import Lane, LaneKind
from app.worker.line import Line, Message
from app.worker.looks import Looks
from app.worker.nursery import Nursery


@dataclass(slots=True)
class WorkerProcess:
    """One worker process, from its order to its end."""

    lane: Lane
    ordered: float
    looks: Looks
    pid: int = 0
    line: Line | None = None
    state: Literal["starting", "ready", "retiring"] = "starting"
    judged: int = 0
    """The instant of the hold already counted as an offence."""
    spare: bool = False
    """It is ready, or getting ready, and takes nothing until told to `serve`."""
    replaces: int = 0
    """The process that retires as soon as this one is ready."""
    faults: dict[str, str] = field(default_factory=dict)
    """What is wrong with the code of bots that it does not serve, or serves in an older version."""
    pending: list[Message] = field(default_factory=list)
    """Messages for it, sent as soon as it is born."""

    def tell(self, message: Message) -> None:
        """Send it a message, now or at its birth."""
        if self.line is not None:
            self.line.tell(message)
        else:
            self.pending.append(message)

    def serve(self) -> None:
        """Let it take work from now on."""
        self.spare = False
        self.tell({"do": "serve"})

    def retire(self) -> None:
        """Let it finish or hand back what it holds, and end; another takes what is new."""
        self.state = "retiring"
        self.tell({"do": "retire"})


class Processes:
    """All that live or are ordered, by number; each has a slot in the dials while it is here."""

    def __init__(self, nursery: Nursery, dials: Dials, *, name: str, shared: int, clock: Clock) -> None:
        """`name` is node and boot, without spaces: owners of claims are named after it."""
        self._nursery = nursery
        self._dials = dials
        self._name = name
        self._shared = shared
        self._clock = clock
        self._all: dict[int, WorkerProcess] = {}
        self._slots = list(range(dials.slots))
        self._count = 0
        self._hanging_up: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.closed = False
        """Set when no more may be started."""

    def __iter__(self) -> Iterator[WorkerProcess]:
        """Iterate over a copy: processes may come and go meanwhile."""
        return iter(tuple(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def find(self, number: int) -> WorkerProcess | None:
        """The process of that number, while it is here."""
        return self._all.get(number)

    def of_kind(self, kind: LaneKind) -> WorkerProcess | None:
        """A process of that kind that is not about to leave."""
        living = (one for one in self._all.values() if one.lane.kind == kind and one.state != "retiring")
        return next(living, None)

    @property
    def serving(self) -> bool:
        """Whether at least one shared worker serves."""
        return any(one.lane.kind == "shared" and one.state == "ready" and not one.spare for one in self._all.values())

    @property
    def spare(self) -> WorkerProcess | None:
        """The shared worker that waits to be used, if there is one."""
        return next((one for one in self._all.values() if one.spare and one.state != "retiring"), None)

    def spawn(
        self, kind: LaneKind, apart: tuple[str, ...], owner: str | None = None, *, spare: bool = False
    ) -> WorkerProcess | None:
        """Order a process, which claims as `owner` (None: a name of its own); None if there is no room."""
        if self.closed or not self._slots:
            return None
        self._count += 1
        lane = Lane(
            number=self._count,
            slot=self._slots.pop(0),
            kind=kind,
            owner=owner or f"{self._name}:{self._count}",
            share=self._shared if kind == "shared" else 1,
            bots=apart,
        )
        looks = Looks(self._dials, lane.slot)
        process = self._all[lane.number] = WorkerProcess(lane, self._clock.monotonic(), looks, spare=spare)
        self._nursery.spawn(lane)
        if not spare:
            process.serve()
        return process

    def replaced_by(self, process: WorkerProcess) -> Iterator[WorkerProcess]:
        """Those that retire as soon as it is ready: the one it replaces, and those which that one was to replace."""
        while (old := self._all.get(process.replaces)) is not None:
            yield (process := old)

    def has_heir(self, process: WorkerProcess) -> bool:
        """Whether a replacement for it is on its way."""
        return any(one.replaces == process.lane.number and one.state != "retiring" for one in self._all.values())

    def tell(self, number: int, message: Message) -> None:
        """Send a message to a process that may be gone."""
        if (process := self._all.get(number)) is not None:
            process.tell(message)

    def kill(self, number: int) -> None:
        """End a process at once; its death is reported like any other."""
        self._nursery.kill(number, signal.SIGKILL)

    def gone(self, number: int) -> WorkerProcess:
        """Remove a process that died: its slot is free again."""
        process = self._all.pop(number)
        self._dials.wipe(process.lane.slot)
        self._slots.append(process.lane.slot)
        return process

    def hang_up(self, process: WorkerProcess) -> None:
        """Close the line to a dead process."""
        if process.line is not None:
            started(process.line.close(), self._hanging_up)

    async def close(self) -> None:
        """Kill and forget what is left, and the nursery with it."""
        for process in self:
            self.kill(process.lane.number)
            self.hang_up(process)
        await asyncio.gather(*self._hanging_up)
        self._nursery.close()

    def forget(self) -> None:
        """The nursery is gone, and every process with it."""
        for process in self:
            self.hang_up(process)
        self._all.clear()
        self.notify()

    def notify(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()

    async def change(self) -> None:
        """Wait until a process has come, gone, or become ready."""
        self._changed.clear()
        await self._changed.wait()
