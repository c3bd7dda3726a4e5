"""Bots in the admin API: listed with their state, read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException

from app.control.admin.shapes import Bot, Done


class BotsView(Protocol):
    """What the API shows of bots."""

    async def bots(self) -> Sequence[Mapping[str, Any]]: ...


Reload = Callable[[str | None], Awaitable[None]]


def bots_router(bots: BotsView, reload: Reload) -> APIRouter:
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

    return api
