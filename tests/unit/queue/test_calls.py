"""A callback's result is delivered or late, never both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.calls import Calls


@pytest.fixture
async def calls(link: RedisLink, keys: Keys) -> AsyncIterator[Calls]:
    calls = Calls(link, keys)
    listening = asyncio.create_task(calls.listen())
    yield calls
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_an_answer_reaches_the_gateway_that_waits(calls: Calls) -> None:
    waiting = asyncio.create_task(calls.wait("echo", "c1", time.monotonic() + 5))

    assert await calls.answer("echo", "c1", b"toast") == "delivered"
    assert await waiting == b"toast"


async def test_a_duplicate_gets_the_stored_result(calls: Calls) -> None:
    await calls.answer("echo", "c1", b"toast")

    assert await calls.wait("echo", "c1", time.monotonic() + 5) == b"toast"
    assert await calls.answer("echo", "c1", b"other") == "delivered"
    assert await calls.wait("echo", "c1", time.monotonic() + 5) == b"toast"


async def test_after_the_gateway_gave_up_the_answer_is_late(calls: Calls) -> None:
    assert await calls.wait("echo", "c1", time.monotonic()) is None
    assert await calls.answer("echo", "c1", b"toast") == "late"
    assert await calls.wait("echo", "c1", time.monotonic() + 5) is None


async def test_an_answer_whose_message_was_lost_is_found_at_the_deadline(link: RedisLink, keys: Keys) -> None:
    deaf = Calls(link, keys)  # nobody listens
    waiting = asyncio.create_task(deaf.wait("echo", "c1", time.monotonic() + 0.2))
    while not deaf._waiting:
        await asyncio.sleep(0)

    await deaf.answer("echo", "c1", b"toast")
    assert await waiting == b"toast"
