"""Dead letters in the admin API: listed, shown, replayed, dropped."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request

from app.control.admin.access import asked_by
from app.control.admin.shapes import DeadLetterDetail, DeadLetterSummary, Done, Why
from app.queue.dead_letters import DeadLetters
from app.storage.reveal import Reveals


def dead_router(letters: DeadLetters, reveals: Reveals) -> APIRouter:
    """The routes under /bots/{bot}/dead."""
    api = APIRouter(prefix="/bots/{bot}/dead")

    @api.get("", response_model=list[DeadLetterSummary])
    async def list_dead(
        bot: str,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[str | None, Query(pattern=r"^\d{1,19}(-\d{1,19})?$")] = None,
    ) -> list[DeadLetterSummary]:
        """A bot's dead letters, the newest first; page on with `before`."""
        return [DeadLetterSummary.of(letter) for letter in await letters.list(bot, limit=limit, before=before)]

    @api.get("/{letter_id}", response_model=DeadLetterDetail)
    async def show_dead(bot: str, letter_id: str, why: Why, request: Request) -> DeadLetterDetail:
        """One dead letter with its event, opened; `why` goes into the audit."""
        letter = _found(await letters.show(bot, letter_id), bot, letter_id)
        entry = letter.entry
        try:
            event = await reveals.letter(bot, letter_id, entry.event_id, entry.sealed, who=asked_by(request), why=why)
        except ValueError as error:
            raise HTTPException(422, f"query.why: {error}") from error
        return DeadLetterDetail(**DeadLetterSummary.of(letter).model_dump(), event=event)

    @api.post("/{letter_id}/replay", response_model=Done)
    async def replay_dead(bot: str, letter_id: str) -> Done:
        """Handle it again, as a new intention: it is answered anew."""
        _found(await letters.replay(bot, letter_id), bot, letter_id)
        return Done()

    @api.delete("/{letter_id}", response_model=Done)
    async def drop_dead(bot: str, letter_id: str) -> Done:
        """Let it go for good."""
        _found(await letters.drop(bot, letter_id), bot, letter_id)
        return Done()

    return api


def _found(result: Any, bot: str, letter_id: str) -> Any:
    if not result:
        raise HTTPException(404, f"bot {bot} has no dead letter {letter_id}")
    return result
