"""Waiting for what a test expects to happen, instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], object | Awaitable[object]], timeout: float = 20.0) -> None:
    """Return as soon as `condition` (plain or async) is true; TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    async with asyncio.timeout(timeout):
        while True:
            held = condition()
            if isinstance(held, Awaitable):
                held = await held
            if held:
                return
            # On Python 3.11 a client that waits may swallow the one cancellation that the time-out makes.
            if time.monotonic() > deadline:
                raise TimeoutError
            await asyncio.sleep(0.005)
