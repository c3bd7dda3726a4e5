"""The answer leaves in one write, and is the one that uvicorn's own protocol would give."""

from __future__ import annotations

from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.gateway.http import OneWriteProtocol
from tests.unit.gateway.wire import Transport, Wire

_POST = b"POST /webhook/echo?a=1 HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\nabc"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Says what it was asked; streams below /stream, fails at /fail, says nothing at /silent."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    path = scope["path"]
    if path == "/fail":
        raise RuntimeError("on purpose")
    if path == "/silent":
        return
    said = repr((scope["method"], path, scope["raw_path"], scope["query_string"], scope["client"], body)).encode()
    headers = [(b"content-type", b"text/plain")]
    if path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})
        return
    if path == "/close":
        headers.append((b"connection", b"close"))
    headers.append((b"content-length", b"%d" % len(said)))
    await send({"type": "http.response.start", "status": 413 if path == "/large" else 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


async def _talk(kind: type[HttpToolsProtocol], *parts: bytes) -> Transport:
    """What a connection answers to `parts`, which arrive one after the other."""
    wire = Wire(kind, _app)
    await wire.send(*parts)
    await wire.tasks()
    wire.hang_up()
    return wire.transport


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((_POST,), id="post"),
        pytest.param((_POST, _POST), id="second-of-a-connection"),
        pytest.param((_POST[:70], _POST[70:]), id="body-later"),
        pytest.param((_POST[:30], _POST[30:]), id="head-in-two"),
        pytest.param((_POST + _POST + _POST,), id="pipelined"),
        pytest.param((b"GET /large HTTP/1.1\r\nHost: hub\r\n\r\n",), id="no-body"),
        pytest.param((b"HEAD / HTTP/1.1\r\nHost: hub\r\n\r\n",), id="head"),
        pytest.param((b"GET / HTTP/1.0\r\n\r\n",), id="http-1.0"),
        pytest.param((b"GET / HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n",), id="asked-to-close"),
        pytest.param((b"GET /close HTTP/1.1\r\nHost: hub\r\n\r\n",), id="app-closes"),
        pytest.param((b"GET /a%20b%2Fc HTTP/1.1\r\nHost: hub\r\n\r\n",), id="quoted-path"),
        pytest.param((b"GET http://hub/path?x=%20#y HTTP/1.1\r\nHost: hub\r\n\r\n",), id="absolute-url"),
        pytest.param((b"GET /stream HTTP/1.1\r\nHost: hub\r\n\r\n",), id="streamed"),
        pytest.param((b"GET /fail HTTP/1.1\r\nHost: hub\r\n\r\n",), id="app-fails"),
        pytest.param((b"GET /silent HTTP/1.1\r\nHost: hub\r\n\r\n",), id="app-says-nothing"),
        pytest.param((_POST.replace(b"Host", b"Expect: 100-continue\r\nHost"),), id="expect"),
        pytest.param((_POST.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: x\r\nHost"),), id="upgrade"),
        pytest.param(
            (b"POST / HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"1\r\nd\r\n0\r\n\r\n"),
            id="chunked",
        ),
    ],
)
async def test_it_answers_as_uvicorn_does(parts: tuple[bytes, ...]) -> None:
    known, found = await _talk(HttpToolsProtocol, *parts), await _talk(OneWriteProtocol, *parts)
    assert b"".join(found.writes) == b"".join(known.writes)
    assert found.closed == known.closed


async def test_an_answer_is_one_write() -> None:
    transport = await _talk(OneWriteProtocol, _POST, _POST)
    assert len(transport.writes) == 2


async def test_who_hung_up_is_written_nothing() -> None:
    """The app may end after its client is gone."""
    wire = Wire(OneWriteProtocol, _app)
    wire.protocol.data_received(_POST)
    wire.hang_up()
    await wire.tasks()
    assert wire.said == b""
