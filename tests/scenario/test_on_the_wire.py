"""Through the real server, since header names, pieces and pace are its doing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.gateway.http import OneWriteProtocol
from app.listening import bind, serving
from tests.scenario.front import Front
from tests.unit.gateway.kit import (
    Request,
    message,
    sealed_request,
)


class TestOnTheWire:
    """Through the real server, since header names, pieces and pace are its doing."""

    @pytest.fixture
    async def port(self, front: Front) -> AsyncIterator[int]:
        socket = bind("127.0.0.1", 0, "server.port")
        async with serving(front.app, socket, protocol=OneWriteProtocol):
            yield socket.getsockname()[1]

    async def exchange(self, port: int, *parts: bytes) -> bytes:
        """Send the parts, each after the one before has left, and read to the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    def raw(self, request: Request, spell: Any, *more: bytes) -> bytes:
        lines = [f"{spell(name)}: {value}".encode() for name, value in request.headers.items()]
        head = b"\r\n".join([b"POST /webhook/support HTTP/1.1", b"host: hub", b"connection: close", *lines, *more])
        return head + b"\r\ncontent-length: %d\r\n\r\n" % len(request.body) + request.body

    @pytest.mark.parametrize("spell", [str.lower, str.upper, str.title, str])
    async def test_header_case_does_not_matter(self, port: int, spell: Any) -> None:
        answer = await self.exchange(port, self.raw(sealed_request(message()), spell))
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\n{}")

    @pytest.mark.parametrize("name", ["X-Lark-Signature", "X-Lark-Request-Timestamp", "X-Lark-Request-Nonce"])
    async def test_doubled_headers_prove_nothing(self, port: int, name: str) -> None:
        request = sealed_request(message())
        doubled = f"{name.upper()}: {request.headers[name]}".encode()
        answer = await self.exchange(port, self.raw(request, str, doubled))
        assert answer.startswith(b"HTTP/1.1 401")

    async def test_many_on_one_connection(self, port: int, front: Front) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(5):
            raw = self.raw(sealed_request(message(event_id=f"e{number}")), str).replace(b"connection: close\r\n", b"")
            writer.write(raw)
            answer = await reader.readuntil(b"{}")
            assert answer.startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
        assert await front.kept_ids() == [f"e{number}" for number in range(5)]

    async def test_a_body_in_pieces(self, port: int) -> None:
        raw = self.raw(sealed_request(message()), str)
        answer = await self.exchange(port, raw[:50], raw[50:-300], raw[-300:-1], raw[-1:])
        assert answer.startswith(b"HTTP/1.1 200")

    async def test_a_body_that_stops_half_way(self, port: int) -> None:
        answer = await self.exchange(port, self.raw(sealed_request(message()), str)[:-10])
        assert answer.startswith(b"HTTP/1.1 408")

    async def test_a_body_over_the_bound_is_not_read(self, port: int) -> None:
        head = b"POST /webhook/support HTTP/1.1\r\nhost: hub\r\n"
        answer = await self.exchange(port, head + b"content-length: 1000000000\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413")
        chunk = b"40000\r\n" + b"x" * 0x40000 + b"\r\n"
        answer = await self.exchange(port, head + b"transfer-encoding: chunked\r\n\r\n" + chunk * 4 + b"1\r\nx\r\n")
        assert answer.startswith(b"HTTP/1.1 413")
