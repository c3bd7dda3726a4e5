"""The public listener by raw ASGI messages: paths, methods, headers, bodies of every pace and size."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
import structlog.testing

from app.core.errors import Unavailable
from app.gateway.verify import Signed
from tests.unit.gateway.door import Door


@pytest.fixture
def door() -> Door:
    return Door()


async def test_both_forms_of_the_address(door: Door) -> None:
    for path, query in (
        ("/webhook/support", b""),
        ("/webhook", b"bot_id=support"),
        ("/webhook", b"a=1&bot_id=support"),
    ):
        answer = await door.ask(path, query=query)
        assert (answer.status, answer.body) == (200, b'{"ok":1}')
    assert [seen[0] for seen in door.webhook.seen] == ["support"] * 3


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/webhook/other", b""),
        ("/webhook/support/", b""),
        ("/webhook/support\n", b""),
        ("/webhook/SUPPORT", b""),
        ("/webhook/../support", b""),
        ("/webhook/", b""),
        ("/webhook", b""),
        ("/webhook", b"bot_id="),
        ("/webhook", b"bot_id=other"),
        ("/webhook", b"bot_id=support&bot_id=support"),
        ("/webhook", b"\xff\xfe"),
        ("/webhook", b"&".join(b"a=1" for _ in range(50))),
        ("/webhook/" + "x" * 10_000, b""),
    ],
)
async def test_unknown_bots(door: Door, path: str, query: bytes) -> None:
    answer = await door.ask(path, query=query)
    assert (answer.status, answer.error["code"]) == (404, "unknown_bot")
    assert door.read == 0
    # What a caller writes does not become a label.
    assert set(door.counts.refused) == {("", "unknown_bot", "")}


@pytest.mark.parametrize("path", ["/", "/metrics", "/docs", "/webhooks", "/dashboard", "/api/v1/bots", ""])
async def test_nothing_else_is_there(door: Door, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await door.ask(path, method)
        assert (answer.status, answer.error["code"]) == (404, "not_found")


async def test_wrong_methods(door: Door) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD"):
        answer = await door.ask("/webhook/support", method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = await door.ask("/healthz", "POST")
    assert (answer.status, answer.headers["allow"], answer.error["code"]) == (
        405,
        "GET, HEAD",
        "method_not_allowed",
    )


async def test_health_pages(door: Door) -> None:
    assert orjson.loads((await door.ask("/healthz", "GET")).body) == {"path": "/healthz"}
    assert (await door.ask("/health", "HEAD")).status == 200
    assert (await door.ask("/readyz", "GET")).status == 503


async def test_request_ids(door: Door) -> None:
    kept = await door.ask(headers=[(b"x-request-id", b"0f-a.b:c_1")])
    assert kept.headers["x-request-id"] == "0f-a.b:c_1"
    made = set()
    for rubbish in (b"", b"x" * 65, b"a b", b"a\r\nset-cookie: x", b"\xff", b'"'):
        answer = await door.ask(headers=[(b"x-request-id", rubbish)])
        assert answer.headers["x-request-id"].encode() != rubbish
        made.add(answer.headers["x-request-id"])
    assert len(made) == 6


async def test_signature_headers_are_passed_on(door: Door) -> None:
    headers = [
        (b"x-lark-request-timestamp", b"1"),
        (b"x-lark-request-nonce", b"n"),
        (b"x-lark-signature", b"s"),
    ]
    await door.ask(headers=headers)
    assert door.webhook.seen[-1][1] == Signed(b"1", b"n", b"s")
    for doubled in headers:
        await door.ask(headers=[*headers, doubled])
        assert door.webhook.seen[-1][1] == Signed(None, None, None)
    others = [(name, value) for name in (b"accept", b"x-request-id", b"x-forwarded-for") for value in (b"a", b"b")]
    await door.ask(headers=[*headers, *others])
    assert door.webhook.seen[-1][1] == Signed(b"1", b"n", b"s")
    for place, (name, _) in enumerate(headers):
        await door.ask(headers=[*headers[:place], (name, b""), *headers[place + 1 :]])
        assert door.webhook.seen[-1][1][place] is None
    await door.ask()
    assert door.webhook.seen[-1][1] == Signed(None, None, None)


async def test_body_in_pieces(door: Door) -> None:
    await door.ask(body=[b"ab", b"", b"cd"])
    assert door.webhook.seen[-1][2] == b"abcd"
    await door.ask(body=[b""])
    assert door.webhook.seen[-1][2] == b""


async def test_too_large_by_its_own_word(door: Door) -> None:
    answer = await door.ask(headers=[(b"content-length", b"1001")], body=[b"x" * 1001])
    assert (answer.status, answer.error["code"], answer.headers["connection"]) == (413, "too_large", "close")
    assert door.read == 0
    assert (await door.ask(headers=[(b"content-length", b"9" * 5000)])).status == 413
    assert (await door.ask(headers=[(b"content-length", b"1000")], body=[b"x" * 1000])).status == 200


async def test_too_large_without_saying_so(door: Door) -> None:
    answer = await door.ask(body=[b"x" * 400] * 10)
    assert answer.status == 413
    assert door.read == 3
    assert (await door.ask(body=[b"x" * 1001])).status == 413
    # A length that is too small is the server's affair; what comes is counted all the same.
    assert (await door.ask(headers=[(b"content-length", b"5")], body=[b"x" * 600, b"x" * 600])).status == 413


@pytest.mark.parametrize("came", [[], [{"type": "http.request", "body": b"{", "more_body": True}]])
async def test_a_body_that_does_not_come(door: Door, came: list[dict[str, Any]]) -> None:
    started = asyncio.get_running_loop().time()
    answer = await door.ask(messages=came)
    assert (answer.status, answer.error["code"], answer.headers["connection"]) == (408, "too_slow", "close")
    assert asyncio.get_running_loop().time() - started < 1.5
    assert door.webhook.seen == []


async def test_a_client_that_hangs_up_gets_no_answer(door: Door) -> None:
    for came in ([], [{"type": "http.request", "body": b"{", "more_body": True}]):
        assert await door.sent(messages=[*came, {"type": "http.disconnect"}]) == []


async def test_a_server_that_stops_is_obeyed(door: Door) -> None:
    task = asyncio.create_task(door.sent(messages=[]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_refusals_say_when_to_come_again(door: Door) -> None:
    door.webhook.error = Unavailable("full", retry_after=5.0)
    answer = await door.ask()
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "unavailable", "5")


async def test_a_fault_of_the_hub_shows_no_trace(door: Door) -> None:
    door.webhook.error = RuntimeError("secret detail")
    with structlog.testing.capture_logs() as logs:
        answer = await door.ask()
    assert (answer.status, answer.error["code"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert [line["event"] for line in logs] == ["request failed"]


async def test_a_unix_socket_has_no_client(door: Door) -> None:
    assert (await door.ask(client=None)).status == 200
    assert door.webhook.seen[-1][3] == ""


async def test_start_and_stop_messages(door: Door) -> None:
    waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    out = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        out.append(message["type"])

    await door.app({"type": "lifespan"}, receive, send)
    assert out == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_websockets_are_closed(door: Door) -> None:
    out = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        out.append(message["type"])

    await door.app({"type": "websocket", "path": "/webhook/support"}, receive, send)
    assert out == ["websocket.close"]
