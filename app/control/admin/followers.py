"""Lets callers follow something as it goes on, by server-sent events: a bounded number on each node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import orjson
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.core.errors import HubError

# Proxies close connections that are silent for a minute.
_COMMENT_EVERY: Final = 15
# How often a silent stream checks whether its node is ending (s).
_LOOK_EVERY: Final = 1.0
_AGAIN_AFTER: Final = 10.0
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Followers:
    """Each follower holds a connection here, and one to Redis out of those that workers and archiver need too."""

    def __init__(self, most: int, over: Callable[[], bool]) -> None:
        """`over` says that the node is ending: streams then end too."""
        self._most = most
        self._over = over
        self.count = 0
        """How many follow now."""
        self.refused = 0
        """How many were refused since the start."""

    def stream(self, source: AsyncGenerator[Any, None], *, event: str = "") -> StreamingResponse:
        """Stream everything from the source, in order, as `data: {…}`, each item under the name `event`.

        Raises HubError, which becomes a 503, if too many follow already.
        """
        if self.count >= self._most:
            self.refused += 1
            raise HubError(
                f"{self.count} follow something on this node already (server.admin.max_followers): ask for the state "
                "itself now and then, or try again later",
                retryable=True,
                retry_after=_AGAIN_AFTER,
            )
        head = f"event: {event}\n".encode() if event else b""
        self.count += 1
        return _Stream(self._lines(source, head), self._left)

    def _left(self) -> None:
        self.count -= 1

    async def _lines(self, source: AsyncGenerator[Any, None], head: bytes) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=100)

        async def pump() -> None:
            async with aclosing(source):
                async for item in source:
                    await queue.put(head + b"data: " + orjson.dumps(item) + b"\n\n")
            await queue.put(None)

        pumping = asyncio.create_task(pump())
        silent = 0
        try:
            while not self._over():
                try:
                    line = await asyncio.wait_for(queue.get(), _LOOK_EVERY)
                except TimeoutError:
                    if pumping.done():
                        return  # the source failed
                    silent += 1
                    if silent % _COMMENT_EVERY == 0:
                        yield b": still here\n\n"
                    continue
                if line is None:
                    return
                silent = 0
                yield line
        finally:
            pumping.cancel()
            await asyncio.gather(pumping, return_exceptions=True)


class _Stream(StreamingResponse):
    """Tells when it has ended, even if it never began."""

    def __init__(self, lines: AsyncIterator[bytes], left: Callable[[], None]) -> None:
        super().__init__(lines, media_type="text/event-stream", headers=_HEADERS)
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()
