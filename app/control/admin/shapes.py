"""What the admin API answers: the shapes that its OpenAPI document shows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from app.queue.dead_letters import DeadLetter


class Done(BaseModel):
    """It was done."""

    ok: bool = True


class Bot(BaseModel):
    """One bot as this node sees it."""

    id: str
    state: str
    app_id: str | None = None
    handler: str | None = None
    faults: list[str] = []
    waiting: int | None = None
    dead: int | None = None


class Node(BaseModel):
    """One node of the cluster; the living say more of themselves."""

    model_config = ConfigDict(extra="allow")

    id: str
    last_seen: float
    alive: bool


class DeadLetterSummary(BaseModel):
    """One dead letter without its content."""

    bot: str
    id: str
    reason: str
    detail: str
    starts: int
    died: float
    event_id: str
    type: str
    conversation: str
    received: float
    replay: int

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadLetterSummary:
        entry = letter.entry
        return cls(
            bot=letter.bot,
            id=letter.id,
            reason=letter.reason,
            detail=letter.detail,
            starts=letter.starts,
            died=letter.died,
            event_id=entry.event_id,
            type=entry.type,
            conversation=entry.conversation,
            received=entry.received,
            replay=entry.replay,
        )


class DeadLetterDetail(DeadLetterSummary):
    """One dead letter with its event."""

    event: Any
