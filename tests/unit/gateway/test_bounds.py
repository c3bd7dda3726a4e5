"""A head that is too large, too slow or no HTTP ends its connection, in the one error form; others notice nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog.testing
from prometheus_client import REGISTRY

from app.gateway import bounds
from app.gateway.bounds import MOST_HEAD, BoundedProtocol
from app.gateway.http import OneWriteProtocol
from tests.unit.gateway.wire import Wire
from tests.waiting import until

_POST = b"POST /webhook/echo HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\nabc"
_PIECE = 16 * 1024

KINDS = pytest.mark.parametrize("kind", [BoundedProtocol, OneWriteProtocol])


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _silent(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


def _refusal(said: bytes) -> tuple[int, str]:
    """Status and code of the last answer, whose form must be the one of every error."""
    head, _, body = said.rpartition(b"\r\n\r\n")
    lines = head.rpartition(b"HTTP/1.1 ")[2].split(b"\r\n")
    error = json.loads(body)["error"]
    assert b"content-length: %d" % len(body) in lines
    assert b"connection: close" in lines
    assert b"x-request-id: %s" % error["request_id"].encode() in lines
    assert error.keys() == {"code", "message", "request_id"}
    return int(lines[0].split()[0]), error["code"]


@KINDS
@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"GET / HTTP/1.1\r\nX-A: ", id="one-header"),
        pytest.param(b"GET /", id="url"),
        pytest.param(_POST + b"GET / HTTP/1.1\r\nX-A: ", id="behind-an-answer"),
    ],
)
async def test_a_head_without_end_is_refused(kind: type[BoundedProtocol], begin: bytes) -> None:
    wire = Wire(kind, _app)
    await wire.send(begin)
    await wire.tasks()
    sent = 0
    while not wire.transport.closed:
        assert sent <= MOST_HEAD
        await wire.send(b"a" * _PIECE)
        sent += _PIECE
    assert _refusal(wire.said) == (431, "head_too_large")
    wire.hang_up()


@KINDS
async def test_many_small_headers_are_one_head(kind: type[BoundedProtocol]) -> None:
    wire = Wire(kind, _app)
    await wire.send(b"GET / HTTP/1.1\r\n", *[b"X-A: 1\r\n" * 1024] * 9)
    assert _refusal(wire.said) == (431, "head_too_large")
    wire.hang_up()


_CHUNKED = b"POST /other HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


@KINDS
async def test_trailers_without_end_close_the_connection(kind: type[BoundedProtocol]) -> None:
    """The request has its answer: another one would be taken for that of the next."""
    wire = Wire(kind, _app)
    await wire.send(_CHUNKED + b"0\r\nX-A: ")
    await wire.tasks()
    said = wire.said
    assert said.startswith(b"HTTP/1.1 200 ")
    await wire.send(*[b"a" * _PIECE] * (MOST_HEAD // _PIECE + 1))
    assert wire.transport.closed
    assert wire.said == said
    wire.hang_up()


@KINDS
async def test_chunks_are_no_heads(kind: type[BoundedProtocol]) -> None:
    wire = Wire(kind, _app)
    protocol = wire.protocol
    assert isinstance(protocol, BoundedProtocol)
    for _ in range(3):
        await wire.send(_CHUNKED, b"100000\r\n", *[b"a" * _PIECE] * 64, b"\r\n0\r\n", b"X-A: 1\r\n\r\n")
        await wire.tasks()
        assert protocol.head_timer is None
    assert wire.said.count(b"HTTP/1.1 200 ") == 3
    assert not wire.transport.closed
    wire.hang_up()


@KINDS
async def test_bodies_and_heads_before_do_not_count(kind: type[BoundedProtocol]) -> None:
    """Each request's head comes in three reads, the first behind the body of the one before."""
    wire = Wire(kind, _app)
    large = b"POST /other HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"a" * 100000
    await wire.send(large[:10])
    for _ in range(8):
        await wire.send(large[10:20], large[20:] + large[:10])
        await wire.tasks()
    await wire.send(large[10:])
    await wire.tasks()
    assert wire.said.count(b"HTTP/1.1 200 ") == 9
    assert not wire.transport.closed
    wire.hang_up()


@KINDS
async def test_a_head_that_does_not_come_to_its_end_is_refused(
    kind: type[BoundedProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "HEAD_WITHIN", 0.05)
    wire = Wire(kind, _app)
    await wire.send(_POST, b"GET / HT")
    await wire.tasks()
    await until(lambda: wire.transport.closed)
    assert _refusal(wire.said) == (408, "too_slow")
    wire.hang_up()


@KINDS
async def test_the_end_of_a_head_ends_its_time(kind: type[BoundedProtocol]) -> None:
    """An idle connection is the keep-alive's, and a slow answer nobody's."""
    wire = Wire(kind, _app)
    protocol = wire.protocol
    assert isinstance(protocol, BoundedProtocol)
    await wire.send(_POST[:9])
    first = protocol.head_timer
    await wire.send(_POST[9:] + _POST[:9])
    second = protocol.head_timer
    assert first is not None
    assert first.cancelled()
    assert second is not None
    assert not second.cancelled()
    wire.hang_up()
    assert second.cancelled()
    await wire.tasks()


@KINDS
async def test_what_is_no_http_is_told_so(kind: type[BoundedProtocol]) -> None:
    wire = Wire(kind, _app)
    await wire.send(b"nonsense\r\n\r\n")
    assert _refusal(wire.said) == (400, "bad_request")
    assert wire.transport.closed
    wire.hang_up()


@KINDS
async def test_a_refusal_is_no_answer_to_the_request_before(kind: type[BoundedProtocol]) -> None:
    wire = Wire(kind, _silent)
    await wire.send(_POST + b"nonsense\r\n\r\n")
    assert (wire.said, wire.transport.closed) == (b"", True)
    wire.hang_up()
    for task in list(wire.state.tasks):
        task.cancel()
    await wire.tasks()


def unread(status: str) -> float:
    return REGISTRY.get_sample_value("hub_requests_unread_total", {"status": status}) or 0.0


async def test_refusals_are_told_seldom_and_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends nonsense as fast as he can fills no disk."""
    monkeypatch.setattr(bounds, "_REFUSED", bounds._Refused())
    before = unread("400"), unread("431")
    with structlog.testing.capture_logs() as logs:
        for _ in range(50):
            wire = Wire(OneWriteProtocol, _app)
            await wire.send(b"nonsense\r\n\r\n")
            wire.hang_up()
    assert [line["code"] for line in logs] == ["bad_request"]
    assert (unread("400"), unread("431")) == (before[0] + 50, before[1])


@KINDS
async def test_who_never_says_anything_is_idle(kind: type[BoundedProtocol]) -> None:
    wire = Wire(kind, _app, timeout_keep_alive=0)
    await until(lambda: wire.transport.closed)
    assert wire.said == b""
    wire.hang_up()
