"""The record of who opened or shredded which messages, when and why; written before it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from sqlalchemy import insert, select

from app.core.clock import SYSTEM_CLOCK, Clock
from app.storage.database import Database
from app.storage.tables import audit

Action = Literal["show", "export", "words", "dead", "shred"]


@dataclass(frozen=True, slots=True)
class Reveal:
    """One occasion on which messages were opened."""

    id: int
    created: int
    """Milliseconds since the epoch."""
    who: str
    action: Action
    bot: str
    which: str
    """Ids of the messages, runs of them as `first-last`; of a dead letter its own."""
    why: str


class Audit:
    """The table `audit`, which only grows; every call raises StoreUnavailable when the database is away."""

    def __init__(self, database: Database, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = database
        self._clock = clock

    async def record(self, who: str, action: Action, bot: str, which: str, why: str) -> None:
        """Write down that these (`runs` of ids) are about to be shown; ValueError without a reason."""
        if not why.strip():
            raise ValueError("say why: messages are opened for a reason, which is kept")
        row = {
            "created": int(self._clock.now() * 1000),
            "who": who,
            "action": action,
            "bot": bot,
            "which": which,
            # PostgreSQL takes no NUL in text.
            "why": why.strip().replace("\0", ""),
        }
        async with self._database.writing() as connection:
            await connection.execute(insert(audit), [row])

    async def list(self, bot: str | None = None, *, before: int | None = None, limit: int = 50) -> list[Reveal]:
        """A page, the newest first; `before` is the id of the last record of the page before."""
        query = select(*(audit.c[field.name] for field in fields(Reveal))).order_by(audit.c.id.desc()).limit(limit)
        if bot is not None:
            query = query.where(audit.c.bot == bot)
        if before is not None:
            query = query.where(audit.c.id < before)
        async with self._database.reading() as connection:
            return [Reveal(*row) for row in await connection.execute(query)]


def runs(ids: Sequence[int]) -> str:
    """Ids in short: `3-7, 9`."""
    parts: list[list[int]] = []
    for number in sorted(set(ids)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
