"""A POST that arrives whole: what is under way is answered once, in time, and to nobody who has gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.core.errors import StoreUnavailable
from app.gateway.http import OneWriteProtocol
from tests.unit.gateway.kit import (
    Request,
)
from tests.unit.gateway.whole import EVENT, FORGED, MAX_BODY, Place, raw
from tests.unit.gateway.wire import Wire
from tests.waiting import until


async def test_nothing_is_taken_behind_the_last_answer_of_a_connection() -> None:
    place = await Place().ready()
    wire = Wire(OneWriteProtocol, place.app)
    await wire.send(raw(Request({}, b"x" * (MAX_BODY + 1))) + raw(EVENT))
    await place.acceptor.close()
    assert (wire.said.count(b"HTTP/1.1 "), place.queue.events) == (1, [])


async def test_no_task_is_made_for_an_event() -> None:
    place = await Place().ready()
    place.queue.gate = asyncio.Event()
    wire = Wire(OneWriteProtocol, place.app)
    before = len(asyncio.all_tasks())
    await wire.send(raw(EVENT))
    assert (place.posts, len(wire.state.tasks)) == (1, 0)
    assert len(asyncio.all_tasks()) == before + 1  # the one that commits for all
    assert wire.said == b""
    place.queue.gate.set()
    await until(lambda: bool(wire.said))


async def test_who_hangs_up_is_not_written_to_and_the_event_is_kept() -> None:
    place = await Place().ready()
    place.queue.gate = asyncio.Event()
    wire = Wire(OneWriteProtocol, place.app)
    await wire.send(raw(EVENT))
    wire.hang_up()
    place.queue.gate.set()
    await place.acceptor.close()
    assert wire.said == b""
    assert place.queue.order() == ["e1"]


async def test_a_body_that_never_ends_is_nobodys_event() -> None:
    place = await Place().ready()
    wire = Wire(OneWriteProtocol, place.app)
    await wire.send(raw(EVENT)[:-1])
    wire.hang_up()
    await wire.tasks()
    assert (wire.said, place.queue.events) == (b"", [])


async def test_it_is_answered_in_time_where_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateway.webhook.ACCEPT_WITHIN", 0.05)
    monkeypatch.setattr("app.gateway.accept._COMMIT_TIMEOUT", 60.0)
    place = await Place().ready()
    place.queue.gate = asyncio.Event()
    wire = Wire(OneWriteProtocol, place.app)
    await wire.send(raw(EVENT))
    await until(lambda: bool(wire.said))
    assert wire.said.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 5\r\n" in wire.said
    place.queue.gate.set()
    await place.acceptor.close()
    assert wire.said.count(b"HTTP/1.1") == 1


async def test_an_outage_refuses() -> None:
    place = await Place().ready()
    place.queue.away = True
    wire = Wire(OneWriteProtocol, place.app)
    await wire.send(raw(EVENT))
    await until(lambda: bool(wire.said))
    assert wire.said.startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize("kind", [HttpToolsProtocol, OneWriteProtocol])
async def test_a_server_that_stops_answers_what_is_under_way(kind: type[HttpToolsProtocol]) -> None:
    place = await Place().ready()
    place.queue.gate = asyncio.Event()
    busy, idle = Wire(kind, place.app), Wire(kind, place.app)
    await busy.send(raw(EVENT))
    for wire in (busy, idle):
        wire.protocol.shutdown()
    assert (busy.transport.closed, idle.transport.closed) == (False, True)
    place.queue.gate.set()
    await until(lambda: busy.transport.closed)
    assert busy.said.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close\r\n" in busy.said
    await busy.tasks()


async def test_a_connection_that_is_idle_is_ended() -> None:
    place = await Place().ready()
    wire = Wire(OneWriteProtocol, place.app)
    wire.protocol.timeout_keep_alive = 0
    await wire.send(raw(EVENT))
    await until(lambda: wire.transport.closed)
    assert wire.said.startswith(b"HTTP/1.1 200")


async def test_a_connection_that_waits_for_an_answer_is_not_idle() -> None:
    place = await Place().ready()
    wire = Wire(OneWriteProtocol, place.app)
    wire.protocol.timeout_keep_alive = 0
    await wire.send(raw(FORGED))
    place.queue.gate = asyncio.Event()
    await wire.send(raw(EVENT))
    for _ in range(20):
        await asyncio.sleep(0.001)  # what is due at once had its turn
    assert not wire.transport.closed
    place.queue.gate.set()
    await until(lambda: wire.transport.closed)
    assert wire.said.count(b"HTTP/1.1 200") == 1


async def test_who_does_not_read_waits_for_the_answer() -> None:
    place = await Place().ready()
    wire = Wire(OneWriteProtocol, place.app)
    wire.protocol.pause_writing()
    await wire.send(raw(EVENT))
    await place.acceptor.close()
    assert (wire.said, place.posts) == (b"", 0)
    wire.protocol.resume_writing()
    await until(lambda: wire.said.startswith(b"HTTP/1.1 200"))


async def test_a_first_event_waits_for_its_data_key() -> None:
    place = Place()
    wire = Wire(OneWriteProtocol, place.app)
    await wire.send(raw(EVENT))
    await until(lambda: wire.said.startswith(b"HTTP/1.1 200"))
    assert place.queue.order() == ["e1"]


async def test_a_data_key_that_cannot_be_had_refuses() -> None:
    place = Place()

    async def away(bot: str) -> Any:
        raise StoreUnavailable("away")

    place.ciphers.cipher = away  # type: ignore[method-assign]
    wire = Wire(OneWriteProtocol, place.app)
    await wire.send(raw(EVENT))
    await until(lambda: wire.said.startswith(b"HTTP/1.1 503"))
