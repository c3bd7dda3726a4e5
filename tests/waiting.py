"""Waiting for what a test expects to happen, instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], object | Awaitable[object]], timeout: float = 5.0) -> None:
    """Return as soon as `condition` (plain or async) is true; TimeoutError after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while True:
            held = condition()
            if isinstance(held, Awaitable):
                held = await held
            if held:
                return
            await asyncio.sleep(0.005)
