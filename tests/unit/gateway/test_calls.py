"""Callbacks: what the person who clicked gets, whatever the worker and the queue do."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import StoreUnavailable
from app.gateway.accept import Acceptor
from app.gateway.calls import NO_QUEUE, NOTHING, Callbacks
from app.gateway.counts import Counts
from app.queue.envelope import result_aad
from app.storage.cipher import Cipher
from tests.unit.gateway.kit import StubQueue, incoming
from tests.waiting import PATIENCE

CIPHER = Cipher("support", {b"test": bytes(32)}, b"test")


class Worker:
    """In the place of the results: answers as told."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self.error: Exception | None = None
        self.hangs = False
        self.asked: list[tuple[str, str]] = []

    async def wait(self, bot: str, event_id: str, deadline: float) -> bytes | None:
        self.asked.append((bot, event_id))
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return self.answer


async def answer(queue: StubQueue, worker: Worker, counts: Counts | None = None) -> bytes:
    now = SYSTEM_CLOCK.monotonic()
    callbacks = Callbacks(Acceptor(queue, None), worker, counts=counts)
    return await callbacks.answer(incoming(1, call=True), CIPHER, now + 1.0, now + 0.05)


def sealed(plain: bytes) -> bytes:
    return CIPHER.seal(plain, result_aad("e1"))


async def test_the_workers_answer_is_opened_and_passed_on() -> None:
    counts, worker = Counts(), Worker(sealed(b'{"toast":{"content":"done"}}'))
    assert await answer(StubQueue(), worker, counts) == b'{"toast":{"content":"done"}}'
    assert worker.asked == [("support", "e1")]
    assert (counts.calls_answered["support"], counts.calls_unanswered["support"]) == (1, 0)


async def test_a_late_answer_changes_nothing_now() -> None:
    counts = Counts()
    assert await answer(StubQueue(), Worker(None), counts) == NOTHING
    assert counts.calls_unanswered["support"] == 1


async def test_without_a_queue_the_person_is_told() -> None:
    queue, worker = StubQueue(), Worker()
    queue.away = True
    found = orjson.loads(await answer(queue, worker))
    assert found["toast"]["type"] == "error"
    assert set(found["toast"]["i18n"]) == {"zh_cn", "en_us"}
    assert worker.asked == []


@pytest.mark.parametrize("why", ["full", "refused"])
async def test_a_queue_that_does_not_take_it_is_none(why: str) -> None:
    queue = StubQueue()
    setattr(queue, why, {"support"})
    assert await answer(queue, Worker()) == NO_QUEUE


async def test_a_link_preview_has_no_room_for_a_toast() -> None:
    callbacks = Callbacks(Acceptor(StubQueue(), None), Worker())
    assert callbacks.refusal("support", "url.preview.get") == NOTHING
    assert callbacks.refusal("support", "card.action.trigger") == NO_QUEUE


async def test_a_duplicate_asks_for_the_stored_answer() -> None:
    queue, worker = StubQueue(), Worker(sealed(b'{"a":1}'))
    assert await answer(queue, worker) == b'{"a":1}'
    assert await answer(queue, worker) == b'{"a":1}'
    assert len(queue.events) == 1


async def test_a_queue_lost_while_waiting_is_not_an_error_of_the_click() -> None:
    worker = Worker()
    worker.error = StoreUnavailable("away")
    assert await answer(StubQueue(), worker) == NOTHING


async def test_a_queue_that_hangs_while_waiting_is_left() -> None:
    worker = Worker()
    worker.hangs = True
    async with asyncio.timeout(PATIENCE):
        assert await answer(StubQueue(), worker) == NOTHING


@pytest.mark.parametrize(
    "result",
    [
        sealed(b"[1]"),
        sealed(b'"text"'),
        sealed(b"not json"),
        b"not sealed",
        CIPHER.seal(b"{}", b"event\ne1"),
        CIPHER.seal(b"{}", result_aad("e2")),
    ],
    ids=["list", "string", "no JSON", "not sealed", "sealed as an event", "of another event"],
)
async def test_an_answer_of_the_wrong_shape_or_place_is_not_passed_on(result: bytes) -> None:
    assert await answer(StubQueue(), Worker(result)) == NOTHING
