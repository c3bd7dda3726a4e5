"""Feishu's limits in the admin API: how far they are used, and the calls of the month."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from app.channel.usage import LimitUse, QuotaUse, Usage
from app.control.admin.shapes import Done


def limits_router(usage: Usage) -> APIRouter:
    """The routes under /limits and /quotas."""
    api = APIRouter()

    @api.get("/limits", response_model=list[LimitUse])
    async def list_limits() -> list[LimitUse]:
        """Every API of every app that was called within the minute, and the busiest chats, over all nodes."""
        return await usage.read()

    @api.get("/quotas", response_model=list[QuotaUse])
    async def list_quotas() -> list[QuotaUse]:
        """Calls of this month by account."""
        return await usage.quotas()

    @api.post("/quotas/{group}/resume", response_model=Done)
    async def resume(group: str) -> Done:
        """Have an account's bots call again, though Feishu said that its month is used up."""
        if not await usage.resume(group):
            raise HTTPException(404, f"the quota of {group} is not stopped")
        return Done()

    return api
