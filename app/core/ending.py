"""Ends tasks for certain, and waits for an answer only so long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it ends: on Python 3.11 a library that waits may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.5)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, Any], name: str) -> AsyncIterator[None]:
    """Work beside what the block does, ended with it."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        await ended(task)


async def within(seconds: float, asked: Awaitable[T]) -> T:
    """The result of `asked`; TimeoutError when it takes longer. It then runs on: a driver that is cut off leaks."""
    task = asyncio.ensure_future(asked)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise TimeoutError
    return task.result()
