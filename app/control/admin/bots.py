"""Bots in the admin API: lists them with their states, reads them again, and drops what waits for removed ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException

from app.control.admin.shapes import Bot, Done
from app.core.logs import get_logger
from app.queue.clearing import Cleared

log = get_logger(__name__)


class BotsView(Protocol):
    """What the API shows of bots."""

    async def bots(self) -> Sequence[Mapping[str, Any]]: ...


Reload = Callable[[str | None], Awaitable[None]]
Clear = Callable[[str], Awaitable[Cleared]]


def bots_router(bots: BotsView, reload: Reload, clear: Clear) -> APIRouter:
    """The routes under /bots that concern bots themselves."""
    api = APIRouter(prefix="/bots")

    @api.get("", response_model=list[Bot])
    async def list_bots() -> Sequence[Mapping[str, Any]]:
        """Every bot of the configuration with its state, its faults and what waits for it; `removed` are those whose
        directory is gone while something waits for them."""
        return await bots.bots()

    @api.post("/reload", response_model=Done)
    async def reload_all() -> Done:
        """Read every directory and handler again, on every node."""
        await reload(None)
        return Done()

    @api.post("/{bot}/reload", response_model=Done)
    async def reload_bot(bot: str) -> Done:
        """Read one directory and its handler again, on every node."""
        if all(known["id"] != bot or known["state"] == "removed" for known in await bots.bots()):
            raise HTTPException(404, f"bot {bot} has no directory any more: there is nothing to read")
        await reload(bot)
        return Done()

    @api.delete("/{bot}/waiting", response_model=Cleared)
    async def drop_waiting(bot: str) -> Cleared:
        """Drop the events, dead letters and messages to send of a bot whose directory is gone; what is stored stays."""
        if any(known["id"] == bot and known["state"] != "removed" for known in await bots.bots()):
            raise HTTPException(409, f"bot {bot} has a directory: take that away before what waits for it is dropped")
        cleared = await clear(bot)
        log.warning("what waited for a removed bot was dropped", bot=bot, **asdict(cleared))
        return cleared

    return api
