"""A small HTTP/1.1 server: one write an answer, and connections that can be cut where a fault asks for it."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import unquote

import httptools

from app.control.playground.asgi import MOST_BYTES, Handle
from app.control.playground.wire import Answer, Request
from app.core.logs import get_logger

log = get_logger(__name__)

_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_LINGER_OFF: Final = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # l_onoff=1, l_linger=0: closing sends RST


class Server:
    """Listens and answers by `handle`; uvicorn would write head and body apart and cannot cut a connection."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self, host: str, port: int) -> str:
        """Listen; returns the address."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._handle, self._connections), host, port, backlog=2048
        )
        address = self._server.sockets[0].getsockname()
        return f"http://{address[0]}:{address[1]}"

    async def close(self) -> None:
        """Stop listening, cut every connection and wait for what they were doing."""
        if self._server is None:
            return
        self._server.close()
        tasks = [connection.stop() for connection in list(self._connections)]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


class _Connection(asyncio.Protocol):
    """One connection: requests are answered in order, also where a client sends several at once."""

    def __init__(self, handle: Handle, connections: set[_Connection]) -> None:
        self._handle = handle
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request | None, bool]] = deque()
        self._streaming = False
        self._worker: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        # A call that was begun is carried out, as at Feishu; only a stream ends with its listener.
        self._waiting.clear()
        if self._streaming and self._worker is not None:
            self._worker.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._put(None, keep_alive=False)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MOST_BYTES:
            self._put(None, keep_alive=False)
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        url = httptools.parse_url(self._url)
        path = url.path.decode("latin-1")
        request = Request(
            self._parser.get_method().decode(),
            unquote(path) if "%" in path else path,
            url.query.decode("latin-1") if url.query else "",
            self._headers,
            b"".join(self._body),
        )
        self._begin()
        self._put(request, self._parser.should_keep_alive())

    def stop(self) -> asyncio.Task[None] | None:
        """Cut the connection; returns what is still being done for it."""
        if self._transport is not None:
            self._transport.abort()
        if self._worker is not None:
            self._worker.cancel()
        return self._worker

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    def _put(self, request: Request | None, keep_alive: bool) -> None:
        """Have a request answered after those before it; None stands for what is no HTTP."""
        self._waiting.append((request, keep_alive))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                request, keep_alive = self._waiting.popleft()
                if request is None:
                    await self._write(Answer(400, b""), keep_alive=False)
                    return
                try:
                    answer = await self._handle(request)
                except Exception:
                    # A fault of the playground itself must be seen, and must not look like one of Feishu's.
                    log.exception("playground failed to answer", path=request.path)
                    answer = Answer(500, b'{"code":-1,"msg":"the playground itself failed: see its log"}')
                await self._write(answer, keep_alive)
        finally:
            self._worker = None

    async def _write(self, answer: Answer, keep_alive: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        if answer.fate == "reset":
            _reset(transport)
            return
        head = [_LINES.get(answer.status, f"HTTP/1.1 {answer.status} Unknown\r\n")]
        head.append(f"Content-Type: {answer.content_type}\r\n")
        head.extend(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        if answer.stream is not None:
            transport.write("".join([*head, "Connection: close\r\n\r\n"]).encode("latin-1"))
            await self._stream(answer.stream)
            return
        head.append(f"Content-Length: {len(answer.body)}\r\n")
        head.append("\r\n" if keep_alive else "Connection: close\r\n\r\n")
        data = "".join(head).encode("latin-1") + answer.body
        if answer.fate == "half":
            transport.write(data[: len(data) - (len(answer.body) + 1) // 2])
            transport.close()
            return
        transport.write(data)
        if not keep_alive:
            transport.close()

    async def _stream(self, chunks: AsyncIterator[bytes]) -> None:
        self._streaming = True
        async for chunk in chunks:
            if self._transport is None:
                break
            self._transport.write(chunk)
        if self._transport is not None:
            self._transport.close()


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    transport.abort()
