"""Tells the chat page live what happens; costs nothing while nobody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import orjson

# A page that does not read is dropped and loads everything anew when it comes back.
MOST_BEHIND: Final = 2000
ALIVE_EVERY: Final = 15.0


class Feed:
    """Fans out small JSON notes to every page that listens."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[bytes | None]] = set()

    @property
    def listening(self) -> int:
        """How many pages listen."""
        return len(self._listeners)

    def put(self, note: Callable[[], dict[str, Any]]) -> None:
        """Pass a note on; it is built only when somebody listens."""
        if not self._listeners:
            return
        line = b"data: " + orjson.dumps(note()) + b"\n\n"
        for queue in list(self._listeners):
            if queue.qsize() >= MOST_BEHIND:
                self._listeners.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(line)

    async def stream(self) -> AsyncIterator[bytes]:
        """Server-sent events until the feed is closed or the listener falls behind."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield b": welcome\n\n"
            while True:
                try:
                    line = await asyncio.wait_for(queue.get(), ALIVE_EVERY)
                except TimeoutError:
                    line = b": alive\n\n"
                if line is None:
                    return
                yield line
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """End every stream."""
        for queue in self._listeners:
            queue.put_nowait(None)
        self._listeners.clear()
