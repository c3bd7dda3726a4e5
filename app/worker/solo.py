"""Runs an event that killed its workers in a process of its own: the asking, the arranging, the way there."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from app.queue.envelope import Entry
from app.queue.work import Work
from app.worker.line import Message
from app.worker.outcome import PUT_BACK, Outcome

SOLO_AT_ONCE: Final = 2


class Solos:
    """Asks the node to run events alone; the claim is kept alive here meanwhile."""

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell = tell
        self._count = 0
        self._waiting: dict[int, asyncio.Future[Outcome | None]] = {}

    async def run(self, work: Work) -> Outcome | None:
        """The event's outcome; None if the process died with it."""
        self._count += 1
        number = self._count
        future: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._tell({"say": "solo", "id": number, "work": packed(work)})
        try:
            return await future
        finally:
            del self._waiting[number]

    def answered(self, message: Message) -> None:
        """Take the node's answer to one of them."""
        future = self._waiting.get(message["id"])
        if future is not None and not future.done():
            outcome = message.get("outcome")
            future.set_result(None if outcome is None else Outcome.of_message(outcome))


@dataclass(slots=True)
class _Job:
    """One event that a worker wants run alone."""

    asker: int
    id: int
    work: Message
    answered: bool = False


class SoloDesk:
    """The node's side: a process for each event that a worker asks for, a few at once."""

    def __init__(
        self,
        spawn: Callable[[int], int | None],
        tell: Callable[[int, Message], None],
        kill: Callable[[int], None],
    ) -> None:
        """`spawn(asker)` orders a process and returns its number, None if there is no room."""
        self._spawn = spawn
        self._tell = tell
        self._kill = kill
        self._waiting: deque[_Job] = deque()
        self._running: dict[int, _Job] = {}

    def ask(self, asker: int, message: Message) -> None:
        """A worker wants an event run alone."""
        self._waiting.append(_Job(asker, message["id"], message["work"]))
        self._start()

    def outcome(self, runner: int, message: Message) -> None:
        """A process has run its event."""
        if (job := self._running.get(runner)) is not None:
            self._answer(job, {"outcome": message["outcome"]})

    def gone(self, number: int, *, told_to_end: bool = False) -> None:
        """A process ended: one that ran alone, or one that asked, whose events another worker has now.

        If it was `told_to_end`, the event is not to blame: its asker hands it back with nothing counted.
        """
        job = self._running.pop(number, None)
        if job is not None:
            self._answer(job, {"outcome": PUT_BACK.message()} if told_to_end else {"died": True})
        self._waiting = deque(job for job in self._waiting if job.asker != number)
        for runner, job in self._running.items():
            if job.asker == number:
                job.answered = True
                self._kill(runner)
        self._start()

    def _start(self) -> None:
        while self._waiting and len(self._running) < SOLO_AT_ONCE:
            runner = self._spawn(self._waiting[0].asker)
            if runner is None:
                return
            job = self._running[runner] = self._waiting.popleft()
            self._tell(runner, {"do": "run", "work": job.work})

    def _answer(self, job: _Job, answer: Message) -> None:
        if not job.answered:
            job.answered = True
            self._tell(job.asker, {"do": "solo", "id": job.id, **answer})


def packed(work: Work) -> dict[str, Any]:
    """A claimed event for a line between processes; its payload stays sealed."""
    return {
        "bot": work.bot,
        "conversation": work.conversation,
        "owner": work.owner,
        "fence": work.fence,
        "log_id": work.log_id,
        "starts": work.starts,
        "failures": work.failures,
        "held": work.held,
        "entry": work.entry.packed().decode(),
        "sealed": base64.b64encode(work.entry.sealed).decode(),
    }


def unpacked(message: dict[str, Any]) -> Work:
    """The reverse."""
    fields = dict(message)
    sealed = base64.b64decode(fields.pop("sealed"))
    entry = Entry.unpacked(fields["entry"].encode(), sealed)
    return Work(**{**fields, "entry": entry})
