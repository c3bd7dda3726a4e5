"""Long jobs of bots: what their handlers say of them, and what operators see."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.core.keys import Keys
from app.core.lua import Script
from app.core.outage import guard
from app.core.pubsub import watch
from app.core.redis import RedisLink
from app.queue.work import Work, unless_lost

_TASK = Script(Path(__file__).parent / "task.lua")

ENDS: Final = frozenset({"done", "failed", "cancelled"})
LONGEST: Final = 30 * 86400.0
"""Seconds that a task is kept which nobody speaks of any more; one that has ended is kept as its author says."""


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """The state of a task; times in seconds since the epoch."""

    bot: str
    id: str
    status: str
    progress: float | None
    created: float
    updated: float
    ended: float | None
    note: bytes = field(repr=False)
    """What its author says of it, sealed; empty where nothing was said."""


class Tasks:
    """The tasks of all bots, in Redis; every call raises StoreUnavailable without it."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def update(
        self, work: Work, task: str, status: str, progress: float | None, note: bytes, keep: float
    ) -> None:
        """Note where a task stands, making it if it is new; `keep` in seconds, for one that ends. Raises Fenced."""
        ended = status in ENDS
        ttl = keep if ended else LONGEST
        reply = await _TASK(
            self._link.commands,
            [self._keys.root(work.bot)],
            [
                *(work.conversation, work.claim, task, status),
                *("" if progress is None else f"{progress:g}", note, int(ended)),
                *(max(1, int(ttl * 1000)), int(LONGEST * 1000)),
            ],
        )
        unless_lost(work, reply)

    async def show(self, bot: str, task: str) -> TaskInfo | None:
        """One task, or None where there is none."""
        with guard():
            fields: Any = await self._link.commands.hgetall(self._keys.task(bot, task))
        return _read(bot, task, fields) if fields else None

    async def list(self, bot: str, limit: int = 100) -> list[TaskInfo]:
        """A bot's tasks, those spoken of last first."""
        index = self._keys.tasks(bot)
        found: list[TaskInfo] = []
        with guard():
            names: Any = await self._link.commands.zrevrange(index, 0, limit - 1)
            for name in names:
                task = await self.show(bot, name.decode())
                if task is not None:
                    found.append(task)
                else:  # it ended, and its time is over
                    await self._link.commands.zrem(index, name)
        return found

    def watch(self, bot: str, task: str) -> AsyncGenerator[TaskInfo, None]:
        """The task now and whenever it changes, until it ends or is gone; goes on through an outage of Redis."""
        return watch(
            self._link, self._keys.task(bot, task), lambda: self.show(bot, task), lambda found: found.ended is not None
        )


def task_aad(task: str) -> bytes:
    """The record identity that seals a task's note."""
    return b"task\n" + task.encode()


def _read(bot: str, task: str, fields: dict[bytes, bytes]) -> TaskInfo:
    def time(name: bytes) -> float | None:
        return int(fields[name]) / 1000 if name in fields else None

    return TaskInfo(
        bot,
        task,
        fields.get(b"status", b"").decode(),
        float(fields[b"progress"]) if b"progress" in fields else None,
        time(b"created") or 0.0,
        time(b"updated") or 0.0,
        time(b"ended"),
        fields.get(b"note", b""),
    )
