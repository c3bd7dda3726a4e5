"""A POST that arrives whole skips ASGI: by this way and by uvicorn's own the answers are the same, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.gateway.http import OneWriteProtocol
from tests import vectors
from tests.unit.gateway.kit import (
    Request,
    callback,
    message,
    plain_request,
    sealed_request,
    signed_request,
)
from tests.unit.gateway.whole import EVENT, FORGED, MAX_BODY, Place, raw
from tests.unit.gateway.wire import Wire
from tests.waiting import until

CHALLENGE = {"type": "url_verification", "token": vectors.VERIFICATION_TOKEN, "challenge": "c1"}

# Each is posted to the bot, over one connection, one after the other; the status of the last follows.
CASES: dict[str, tuple[int, list[tuple[Request, str]]]] = {
    "accepted": (200, [(EVENT, "support")]),
    "duplicate": (200, [(EVENT, "support"), (EVENT, "support")]),
    "challenge": (200, [(sealed_request(CHALLENGE), "support")]),
    "plain-challenge": (200, [(plain_request(CHALLENGE), "support")]),
    "plain-event": (200, [(plain_request(message(event_id="e2")), "plain")]),
    "callback": (200, [(sealed_request(callback(event_id="e3")), "support")]),
    "unknown-bot": (404, [(EVENT, "nobody")]),
    "not-json": (400, [(signed_request(b"{"), "support")]),
    "no-event": (400, [(plain_request({"hello": 1}), "plain")]),
    "not-decryptable": (400, [(signed_request(b'{"encrypt":"AAAA"}'), "support")]),
    "signature": (401, [(FORGED, "support")]),
    "token": (401, [(sealed_request(message(token="x")), "support")]),
    "app-id": (401, [(sealed_request(message(app_id="cli_x")), "support")]),
    "plain-to-a-key": (401, [(plain_request(message()), "support")]),
    "age": (401, [(sealed_request(message(), timestamp="1700000000"), "support")]),
    "address": (403, [(EVENT, "inside")]),
    "too-large": (413, [(Request({}, b"x" * (MAX_BODY + 1)), "support")]),
    "too-many-refused": (429, [(FORGED, "support")] * 3),
    "events-per-second": (503, [(sealed_request(message(event_id=f"s{n}")), "slow") for n in range(3)]),
    "queue-full": (503, [(EVENT, "full")]),
    "redis-refuses": (503, [(EVENT, "damaged")]),
    "accepted-after-a-refusal": (200, [(FORGED, "support"), (EVENT, "support")]),
}


def whole(data: bytes) -> list[bytes]:
    return [data]


def body_later(data: bytes) -> list[bytes]:
    head, body = data.split(b"\r\n\r\n", 1)
    return [head + b"\r\n\r\n", body]


def split(data: bytes) -> list[bytes]:
    return [*(data[place : min(place + 97, len(data) - 1)] for place in range(0, len(data) - 1, 97)), data[-1:]]


def answered(wire: Wire, number: int) -> bool:
    return wire.said.count(b"HTTP/1.1 ") == number


async def converse(
    kind: type[HttpToolsProtocol], requests: list[bytes], cut: Callable[[bytes], list[bytes]]
) -> tuple[bytes, bool, Place]:
    """What is answered to requests that come one after the other, each after the answer to the one before."""
    place = await Place().ready()
    wire = Wire(kind, place.app)
    for number, request in enumerate(requests, 1):
        await wire.send(*cut(request))
        await until(partial(answered, wire, number))
        await wire.tasks()
    wire.hang_up()
    return wire.said, wire.transport.closed, place


@pytest.mark.parametrize("cut", [whole, body_later, split])
@pytest.mark.parametrize("case", list(CASES))
async def test_both_ways_answer_the_same(case: str, cut: Callable[[bytes], list[bytes]]) -> None:
    status, posted = CASES[case]
    requests = [raw(request, to) for request, to in posted]
    known = await converse(HttpToolsProtocol, requests, cut)
    found = await converse(OneWriteProtocol, requests, cut)
    assert found[:2] == known[:2]
    assert found[0].rpartition(b"HTTP/1.1 ")[2].startswith(b"%d" % status)
    assert (known[2].posts, found[2].posts) == (0, len(requests) if cut is whole else 0)
    # What is counted is the same too, and what was kept.
    known[2].counts.accept_seconds = found[2].counts.accept_seconds
    assert found[2].counts == known[2].counts
    assert [item.seen for item in found[2].queue.events] == [item.seen for item in known[2].queue.events]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(raw(EVENT) * 3, id="pipelined"),
        pytest.param(raw(EVENT) + raw(FORGED) + raw(EVENT)[:-1], id="pipelined-and-unfinished"),
        pytest.param(raw(FORGED) + raw(EVENT), id="behind-a-refusal"),
        pytest.param(raw(EVENT, "support", b"Connection: close"), id="asked-to-close"),
        pytest.param(raw(EVENT).replace(b"1.1\r\n", b"1.0\r\n", 1), id="http-1.0"),
        pytest.param(raw(EVENT).replace(b"/webhook/support", b"/webhook/supp%6frt"), id="quoted"),
        pytest.param(raw(EVENT).replace(b"/webhook/support", b"/webhook?bot_id=support"), id="in-query"),
        pytest.param(raw(EVENT).replace(b"/webhook/support", b"/webhook/support?a=1"), id="query-beside"),
        pytest.param(raw(EVENT).replace(b"/webhook/support", b"http://hub/webhook/support"), id="absolute-url"),
        pytest.param(raw(EVENT).replace(b"POST", b"PUT"), id="wrong-method"),
        pytest.param(raw(EVENT, "support", b"Expect: 100-continue"), id="expect"),
        pytest.param(raw(EVENT).partition(b"Content-Length")[0] + b"\r\n", id="no-body"),
        pytest.param(
            raw(EVENT).partition(b"Content-Length")[0]
            + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT.body), EVENT.body),
            id="chunked",
        ),
    ],
)
async def test_what_is_odd_is_answered_the_same(data: bytes) -> None:
    answers = []
    for kind in (HttpToolsProtocol, OneWriteProtocol):
        wire = Wire(kind, (await Place().ready()).app)
        await wire.send(data)
        for _ in range(20):
            await asyncio.sleep(0)
        wire.hang_up()
        await wire.tasks()
        answers.append((wire.said, wire.transport.closed))
    assert answers[0] == answers[1]
    assert answers[0][0].startswith(b"HTTP/1.1 ")
