"""Keys in the admin API: what each still wraps or seals, never a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter

from app.storage.key_counts import KeyStatus


def keys_router(status: Callable[[], Awaitable[KeyStatus]]) -> APIRouter:
    """The routes under /keys."""
    api = APIRouter(prefix="/keys")

    @api.get("", response_model=KeyStatus)
    async def show_keys() -> KeyStatus:
        """What each master key still wraps, which nodes hold it, and what each data key still seals."""
        return await status()

    return api
