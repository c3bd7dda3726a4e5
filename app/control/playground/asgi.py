"""Serves the playground as an ASGI app, for uvicorn or under a prefix of another app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

from app.control.playground.wire import Answer, Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Handle = Callable[[Request], Awaitable[Answer]]

MOST_BYTES: Final = 128 * 1024 * 1024
LOOKS_EVERY: Final = 0.5


class ConnectionCut(Exception):
    """Raised to make an ASGI server drop the connection in the middle of an answer, as an ordered fault asks."""


def asgi(handle: Handle) -> AsgiApp:
    """An ASGI app around `handle`; the path it sees is the one below the mount point."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the playground speaks HTTP only, not {scope['type']}")
        answer = await handle(await _request(scope, receive))
        await _write(answer, receive, send)

    return application


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _request(scope: Scope, receive: Receive) -> Request:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if not message.get("more_body") or size > MOST_BYTES:
            break
    root = scope.get("root_path", "")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    request = Request(
        scope["method"],
        scope["path"].removeprefix(root),
        scope.get("query_string", b"").decode("latin-1"),
        headers,
        b"".join(chunks),
    )
    request.root = root
    return request


async def _write(answer: Answer, receive: Receive, send: Send) -> None:
    if answer.fate == "reset":
        await _cut(send)
        return
    headers = [(b"content-type", answer.content_type.encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    if answer.stream is None:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.fate == "half":
        await send({"type": "http.response.body", "body": answer.body[: len(answer.body) // 2], "more_body": True})
        await _cut(send)
        return
    if answer.stream is None:
        await send({"type": "http.response.body", "body": answer.body})
    else:
        await _stream(answer.stream, receive, send)


async def _stream(chunks: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Pass chunks on until there are no more, or nobody listens any more."""
    gone = asyncio.ensure_future(_gone(receive, send))
    try:
        while True:
            chunk = asyncio.ensure_future(anext(chunks, None))
            await asyncio.wait({gone, chunk}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or chunk.result() is None:
                chunk.cancel()
                break
            await send({"type": "http.response.body", "body": chunk.result(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _gone(receive: Receive, send: Send) -> None:
    """Return when the listener has left, or the server wants to."""
    left = asyncio.ensure_future(receive())
    cycle = getattr(send, "__self__", None)
    stays = getattr(cycle, "keep_alive", False)
    try:
        while not left.done():
            await asyncio.wait({left}, timeout=LOOKS_EVERY)
            # A closing uvicorn says so to an open answer only by this flag, and else waits for its end.
            if stays and not getattr(cycle, "keep_alive", True):
                return
    finally:
        left.cancel()


async def _cut(send: Send) -> None:
    """ASGI has no word for dropping a connection; uvicorn's transport stands behind its `send`."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionCut
    transport.close()
    # Once the server has seen the loss it asks for no answer any more.
    await asyncio.sleep(0.01)
