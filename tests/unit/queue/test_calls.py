"""A callback's result is delivered or late, never both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from app.core.ending import ended
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.queue.calls import Calls
from tests.waiting import PATIENCE, until


@pytest.fixture
async def calls(link: RedisLink, keys: Keys) -> AsyncIterator[Calls]:
    calls = Calls(link, keys)
    listening = asyncio.create_task(calls.listen())
    yield calls
    await ended(listening)


def just_now(ago: float = 0.0) -> str:
    """The log id of a callback that came then."""
    return f"{round((time.time() - ago) * 1000)}-0"


async def test_an_answer_reaches_the_gateway_that_waits(calls: Calls) -> None:
    waiting = asyncio.create_task(calls.wait("echo", "c1", time.monotonic() + PATIENCE))

    assert await calls.answer("echo", "c1", just_now(), b"toast") == "delivered"
    assert await waiting == b"toast"


async def test_a_duplicate_gets_the_stored_result(calls: Calls) -> None:
    await calls.answer("echo", "c1", just_now(), b"toast")

    assert await calls.wait("echo", "c1", time.monotonic() + PATIENCE) == b"toast"
    assert await calls.answer("echo", "c1", just_now(), b"other") == "delivered"
    assert await calls.wait("echo", "c1", time.monotonic() + PATIENCE) == b"toast"


async def test_after_the_gateway_gave_up_the_answer_is_late(calls: Calls) -> None:
    assert await calls.wait("echo", "c1", time.monotonic()) is None
    assert await calls.answer("echo", "c1", just_now(), b"toast") == "late"
    assert await calls.wait("echo", "c1", time.monotonic() + 5) is None


async def test_an_answer_that_no_gateway_can_wait_for_any_more_is_late(calls: Calls) -> None:
    assert await calls.answer("echo", "c1", just_now(ago=4), b"toast") == "late"
    assert await calls.answer("echo", "c1", just_now(ago=4), b"toast") == "late"
    assert await calls.wait("echo", "c1", time.monotonic() + 5) is None
    # What was in time stays so for who handles the callback once more.
    await calls.answer("echo", "c2", just_now(), b"toast")
    assert await calls.answer("echo", "c2", just_now(ago=4), b"other") == "delivered"


async def test_an_answer_whose_message_was_lost_is_found_at_the_deadline(link: RedisLink, keys: Keys) -> None:
    deaf = Calls(link, keys)  # nobody listens
    waiting = asyncio.create_task(deaf.wait("echo", "c1", time.monotonic() + 1.0))
    while not deaf._waiting:
        await asyncio.sleep(0)

    await deaf.answer("echo", "c1", just_now(), b"toast")
    assert await waiting == b"toast"


async def test_a_silent_connection_is_given_up_for_one_that_speaks(
    link: RedisLink, keys: Keys, engine_url: str, tmp_path: Path
) -> None:
    deaf = asyncio.Event()
    ways: list[asyncio.Task[None]] = []

    async def way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = not ways
        ways.append(asyncio.current_task())  # type: ignore[arg-type]
        there, back = await asyncio.open_unix_connection(unquote(urlsplit(engine_url).path))

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                if not (first and deaf.is_set()):
                    sink.write(data)

        try:
            await asyncio.gather(pass_on(reader, back), pass_on(there, writer))
        finally:
            for end in (back, writer):
                end.close()
                await end.wait_closed()

    door = await asyncio.start_unix_server(way, tmp_path / "door")
    through = await connect(f"unix://{tmp_path / 'door'}")
    calls = Calls(RedisLink(link.commands, through.blocking, cluster=False), keys, patience=0.1)
    listening = asyncio.create_task(calls.listen())

    async def heard_by(count: int) -> bool:
        return (await link.commands.pubsub_numsub(keys.answers))[0][1] == count

    await until(lambda: heard_by(1))
    deaf.set()
    await until(lambda: heard_by(2))  # the engine takes the first for alive
    waiting = asyncio.create_task(calls.wait("echo", "c1", time.monotonic() + 30))
    await until(lambda: calls._waiting)
    await calls.answer("echo", "c1", just_now(), b"toast")
    assert await asyncio.wait_for(waiting, PATIENCE) == b"toast"

    listening.cancel()
    for task in (listening, *ways):
        task.cancel()
    await asyncio.gather(listening, *ways, return_exceptions=True)
    await through.close()
    door.close()
    await door.wait_closed()
