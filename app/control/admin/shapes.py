"""What the admin API answers: the shapes that its OpenAPI document shows."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from app.queue.dead_letters import DeadLetter
from app.queue.outgoing import BatchState, MessageState, State

Number: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 63)]
"""An id or a time as databases keep them: a larger one would be an error of theirs."""
Why: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]
"""For what reason something is opened; the audit keeps it."""


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
    to_send: int | None = None


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


class Message(BaseModel):
    """A message to be sent, and what became of it; times in seconds since the epoch."""

    id: str
    state: State
    created: float
    changed: float
    due: float
    message_id: str | None = None
    """Feishu's, of one that was sent; may be missing, where Feishu did not tell it."""
    reason: str | None = None
    batch: str | None = None

    @classmethod
    def of(cls, state: MessageState) -> Message:
        return cls(
            id=state.id,
            state=state.state,
            created=state.created,
            changed=state.changed,
            due=state.due,
            message_id=state.message_id or None,
            reason=state.reason or None,
            batch=state.batch or None,
        )


class Batch(BaseModel):
    """How far the messages of one request are; message n of it has the id `ID-n`."""

    id: str
    total: int
    waiting: int
    sent: int
    failed: int
    cancelled: int
    created: float

    @classmethod
    def of(cls, state: BatchState) -> Batch:
        return cls.model_validate(state, from_attributes=True)
