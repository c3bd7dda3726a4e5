"""The way of one POST as a whole: every answer is one of the table, and only the log tells refusals apart."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import NotVerified, SealBroken, StoreUnavailable, Unavailable
from app.gateway.accept import Acceptor
from app.gateway.admission import Admission
from app.gateway.calls import Callbacks
from app.gateway.counts import Counts
from app.gateway.head import Head
from app.gateway.routes import Gateway
from app.gateway.webhook import Outcome, Webhook
from app.storage.cipher import Cipher
from tests import vectors
from tests.hand_clock import HandClock
from tests.unit.gateway.kit import (
    Bots,
    Ciphers,
    Request,
    StubQueue,
    bot,
    message,
    plain_request,
    sealed_request,
    signed_request,
)
from tests.unit.gateway.test_calls import Worker


def webhook(queue: StubQueue, ciphers: Any = None, counts: Counts | None = None) -> Webhook:
    acceptor = Acceptor(queue, None)
    callbacks = Callbacks(acceptor, Worker(None))
    return Webhook(Admission(), ciphers or Ciphers(), acceptor, callbacks, counts=counts)


async def post(hook: Webhook, request: Request, **config: Any) -> bytes:
    """The JSON of a 200, or the refusal raised."""
    told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    head = Head(headers, "192.0.2.1", SYSTEM_CLOCK.monotonic())
    hook.begin(bot(**config), head, request.body, told.set_result)
    outcome = await told
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def test_what_is_kept_of_a_message() -> None:
    queue = StubQueue()
    request = sealed_request(message(event_id="e1", message_id="om_1"))
    assert await post(webhook(queue), request, dedup_ttl="1h", message={"queue_size": 7}) == b"{}"
    (kept,) = queue.events
    assert (kept.seen, kept.ttl, kept.queue_size) == (("e1", "om_1"), 3600, 7)
    assert kept.entry.received == pytest.approx(SYSTEM_CLOCK.now(), abs=60)


async def test_the_conversation_is_the_bots_choice() -> None:
    queue = StubQueue()
    document = message(event_id="e1", chat="oc_1")
    document["event"]["message"]["thread_id"] = "omt_1"
    for mode, place in (("chat", "oc_1"), ("thread", "oc_1/omt_1"), ("sender", "ou_1"), ("none", "e1")):
        queue = StubQueue()
        await post(webhook(queue), sealed_request(document), conversation=mode)
        assert queue.events[0].entry.conversation == place


class Locked:
    """A keyring whose key cannot be had."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def cached(self, bot: str) -> None:
        return None

    async def cipher(self, bot: str) -> Cipher:
        if self._error is None:
            await asyncio.Event().wait()
        assert self._error is not None
        raise self._error


@pytest.mark.parametrize("error", [StoreUnavailable("away"), SealBroken("wrong key"), None])
async def test_nothing_is_accepted_that_cannot_be_sealed(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateway.webhook.ACCEPT_WITHIN", 0.1)
    queue = StubQueue()
    with pytest.raises(Unavailable):
        await post(webhook(queue, Locked(error)), sealed_request(message()))
    assert queue.events == []


async def test_times_that_are_no_numbers_are_counted_and_warned_of_once() -> None:
    counts = Counts()
    hook = webhook(StubQueue(), counts=counts)
    with structlog.testing.capture_logs() as logs:
        for timestamp in (None, "soon", "later"):
            assert await post(hook, sealed_request(message(), timestamp=timestamp)) == b"{}"
    assert counts.odd_timestamps == {"support": 2}
    assert [line["bot"] for line in logs if line["log_level"] == "warning"] == ["support"]


async def test_a_flood_of_refusals_is_a_line_now_and_then() -> None:
    hook = webhook(StubQueue())
    with structlog.testing.capture_logs() as logs:
        for _ in range(15):
            with pytest.raises(NotVerified):
                await post(hook, plain_request(message()))
    assert [(line["bot"], line["check"]) for line in logs] == [("support", "plain")]


specs = [
    bot("keyed", legacy_cards=True),
    bot("plain", keys=(), allow_plaintext=True),
    bot("both", keys=("a", vectors.ENCRYPT_KEY)),
]
events = st.builds(
    lambda header, body, more: {"schema": "2.0", "header": header, "event": body, **more},
    st.fixed_dictionaries(
        {"token": st.just(vectors.VERIFICATION_TOKEN)},
        optional={
            "event_id": st.text(max_size=5) | st.integers(0, 9),
            "event_type": st.sampled_from(["im.message.receive_v1", "card.action.trigger", "x"]) | st.none(),
            "create_time": st.text(max_size=5) | st.integers(0, 2**62),
            "app_id": st.sampled_from([vectors.APP_ID, "cli_other"]) | st.lists(st.none(), max_size=1),
        },
    )
    | st.text(max_size=3),
    st.none()
    | st.text(max_size=3)
    | st.dictionaries(
        st.sampled_from(["message", "sender", "operator", "context", "action", "chat_id"]),
        st.none() | st.text(max_size=3) | st.dictionaries(st.sampled_from(["chat_id", "open_id"]), st.integers(0, 9)),
    ),
    st.dictionaries(st.sampled_from(["type", "token", "uuid", "challenge"]), st.text(max_size=5), max_size=2),
)
bodies = st.binary(max_size=100) | events.map(orjson.dumps)
requests = st.one_of(
    bodies.map(plain_request),
    bodies.map(sealed_request),
    bodies.map(signed_request),
    st.tuples(bodies, st.text(max_size=12)).map(lambda it: sealed_request(it[0], timestamp=it[1])),
)


@settings(deadline=None, max_examples=300)
@given(requests, st.sampled_from([spec.id for spec in specs]))
async def test_whatever_is_posted_is_answered_from_the_table(request: Request, to: str) -> None:
    clock = HandClock()  # a machine that stands still for seconds is not what is asked here
    clock.time = SYSTEM_CLOCK.now()
    acceptor = Acceptor(StubQueue(), None, clock=clock)
    hook = Webhook(Admission(), Ciphers(), acceptor, Callbacks(acceptor, Worker(None), clock=clock), clock=clock)
    app = Gateway(Bots({spec.id: spec for spec in specs}), Admission(), hook, lambda path: (200, {}), clock=clock)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body}

    async def send(part: Any) -> None:
        sent.append(part)

    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    scope = {"type": "http", "method": "POST", "path": f"/webhook/{to}", "query_string": b"", "headers": headers}
    with structlog.testing.capture_logs():
        await app(scope, receive, send)
    orjson.loads(sent[1]["body"])
    assert sent[0]["status"] in (200, 400, 401)
