"""Waiting for what a test expects to happen, instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

PATIENCE: Final = 60.0
"""Seconds after which something will not happen any more: the end of a hang, and nothing of how long a thing takes."""


async def until(
    condition: Callable[[], object | Awaitable[object]], timeout: float = PATIENCE, *, rest: float = 0.005
) -> None:
    """Return as soon as `condition` (plain or async) is true; TimeoutError after `timeout` seconds.

    `rest` is the seconds between two looks: more, where to look costs those something who have work to do.
    """
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
            await asyncio.sleep(rest)


def wait_until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """The same where there is no loop yet, as in fixtures of the whole run."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)
