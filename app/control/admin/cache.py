"""The cache in the admin API: what each tier was asked and gave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter

CacheStats = Callable[[], Awaitable[dict[str, dict[str, int]]]]


def cache_router(stats: CacheStats) -> APIRouter:
    """The routes under /cache."""
    api = APIRouter(prefix="/cache")

    @api.get("", response_model=dict[str, dict[str, int]])
    async def show_cache() -> dict[str, dict[str, int]]:
        """Reads of all nodes, by tier (memory, redis, loader) and what it gave."""
        return await stats()

    return api
