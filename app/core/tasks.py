"""Tasks that nobody awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def started(work: Coroutine[Any, Any, T], group: set[asyncio.Task[T]]) -> asyncio.Task[T]:
    """Start a task that `group` holds until it ends: the loop itself does not, and it could vanish half-way."""
    task = asyncio.create_task(work)
    group.add(task)
    task.add_done_callback(group.discard)
    return task
