"""The conversations that a process holds, each with the task that works on it."""

from __future__ import annotations

import asyncio
from typing import Any

from app.core.logs import get_logger
from app.queue.work import Work

log = get_logger(__name__)


class Claims:
    """What one process holds."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[Work, asyncio.Task[Any]]] = {}

    def hold(self, work: Work, task: asyncio.Task[Any]) -> None:
        """Note a claim, or the next event under it."""
        held = self._held.get((work.bot, work.conversation))
        if held is not None and held[0].fence == work.fence and held[1] is not task:
            # Redis lost its last writes and gave the same fence again: no script could tell the two tasks apart.
            self.lost(held[0])
        self._held[work.bot, work.conversation] = (work, task)

    def let_go(self, work: Work, task: asyncio.Task[Any]) -> None:
        """Forget a task's claim; one that was taken again meanwhile stays."""
        held = self._held.get((work.bot, work.conversation))
        if held is not None and held[0].fence == work.fence and held[1] is task:
            del self._held[work.bot, work.conversation]

    def living(self) -> list[Work]:
        """The claims to keep alive; one whose task is gone is left to expire. Safe in any thread."""
        return [work for work, task in list(self._held.values()) if not task.done()]

    def lost(self, work: Work) -> None:
        """Cancel the task of a claim that another owner has."""
        held = self._held.get((work.bot, work.conversation))
        if held is not None and held[0].fence == work.fence:
            log.warning("claim lost, its work is stopped", bot=work.bot, event_id=held[0].entry.event_id)
            held[1].cancel()

    def __len__(self) -> int:
        return len(self._held)
