"""Server-sent events: what an async source gives, as a response that stays open until the source ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import orjson
from fastapi.responses import StreamingResponse

# Proxies close connections that say nothing for a minute.
_COMMENT_EVERY: Final = 15.0


def event_stream(source: AsyncIterator[Any]) -> StreamingResponse:
    """`data: {…}` for everything that the source gives, in order."""
    return StreamingResponse(
        _lines(source), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def _lines(source: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=100)

    async def pump() -> None:
        async with aclosing(source):  # type: ignore[type-var]
            async for item in source:
                await queue.put(b"data: " + orjson.dumps(item) + b"\n\n")
        await queue.put(None)

    pumping = asyncio.create_task(pump())
    try:
        while True:
            try:
                line = await asyncio.wait_for(queue.get(), _COMMENT_EVERY)
            except TimeoutError:
                if pumping.done():
                    return  # the source failed
                line = b": still here\n\n"
            if line is None:
                return
            yield line
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)
