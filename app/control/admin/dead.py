"""Dead letters in the admin API: listed, shown, replayed, dropped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from app.control.admin.shapes import DeadLetterDetail, DeadLetterSummary, Done
from app.queue.dead_letters import DeadLetter, DeadLetters

Open = Callable[[DeadLetter], Awaitable[Any]]


def dead_router(letters: DeadLetters, open_letter: Open) -> APIRouter:
    """The routes under /bots/{bot}/dead; `open_letter` reveals a letter's payload."""
    api = APIRouter(prefix="/bots/{bot}/dead")

    @api.get("", response_model=list[DeadLetterSummary])
    async def list_dead(
        bot: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100, before: str | None = None
    ) -> list[DeadLetterSummary]:
        """A bot's dead letters, the newest first; page on with `before`."""
        return [DeadLetterSummary.of(letter) for letter in await letters.list(bot, limit=limit, before=before)]

    @api.get("/{letter_id}", response_model=DeadLetterDetail)
    async def show_dead(bot: str, letter_id: str) -> DeadLetterDetail:
        """One dead letter with its event, opened."""
        letter = _found(await letters.show(bot, letter_id), bot, letter_id)
        return DeadLetterDetail(**DeadLetterSummary.of(letter).model_dump(), event=await open_letter(letter))

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
