"""The message store in the admin API, over each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.control.admin.stored_messages import stored_messages_router
from app.storage.audit import Audit
from app.storage.database import Database
from app.storage.days import contents_of, day_of
from app.storage.keeping import Keeping
from app.storage.messages import Messages
from app.storage.query import Query
from app.storage.reveal import Reveals
from tests.unit.control.admin.parts import known_bots
from tests.unit.storage.catalog import CatalogOf
from tests.unit.storage.test_words import CIPHER, _Keys, said


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """Three messages of a bot with the index of words, one of them with a reaction."""
    database = Database(database_url, tmp_path)
    keeping = Keeping(Messages(database), _Keys(echo=CIPHER), CatalogOf(echo={"word_index": True}))
    reaction = said(4, "", type="im.message.reaction.created_v1", message_id="om_1", user_id="ou_2")
    await keeping.insert([said(1, "a refund"), said(2, "a parcel", chat_id="oc_2"), said(3, "refund 退货"), reaction])
    yield database
    await database.close()


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    messages, audit = Messages(database), Audit(database)
    app = FastAPI()
    reveals = Reveals(messages, _Keys(echo=CIPHER), audit)
    app.include_router(stored_messages_router(messages, reveals, audit, known_bots("echo")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        yield client


async def ids(client: httpx.AsyncClient, **wanted: Any) -> list[int]:
    answer = await client.get("/messages", params=wanted)
    assert answer.status_code == 200, answer.text
    assert "content" not in answer.text
    return [one["id"] for one in answer.json()]


async def test_searched_without_being_opened(client: httpx.AsyncClient) -> None:
    assert await ids(client) == await ids(client, bot="echo") == [4, 3, 2, 1]
    assert await ids(client, bot="echo", limit=2, before=4) == [3, 2]
    assert await ids(client, bot="echo", chat="oc_2") == [2]
    assert await ids(client, bot="echo", sender="ou_2") == [4]
    assert await ids(client, bot="echo", type="im.message.reaction.created_v1") == [4]
    assert await ids(client, bot="echo", event="evt_3") == [3]
    assert await ids(client, bot="echo", message="om_1") == [4, 1]
    assert await ids(client, bot="echo", since=1_700_000_002_000, until=1_700_000_004_000) == [3, 2]
    assert await ids(client, bot="other") == []
    assert (await client.get("/messages/audit")).json() == []


async def test_opened_for_a_reason_that_is_kept(client: httpx.AsyncClient) -> None:
    shown = (await client.get("/messages/1", params={"why": "a complaint"})).json()
    assert shown["content"]["event"]["message"]["content"] == '{"text":"a refund"}'
    assert [one["type"] for one in shown["about"]] == ["im.message.reaction.created_v1"]
    sought = {"bot": "echo", "words": "refund", "why": "an audit"}
    found = (await client.post("/messages/search", json=sought)).json()
    assert ([one["id"] for one in found["messages"]], found["whole"]) == ([3, 1], True)
    assert found["before"] is None
    first = (await client.post("/messages/search", json=sought | {"limit": 1})).json()
    assert ([one["id"] for one in first["messages"]], first["before"]) == ([3], 3)
    for narrowed, which in (
        ({"before": first["before"]}, [1]),
        ({"event": "evt_3"}, [3]),
        ({"message": "om_1"}, [1]),
        ({"type": "im.message.receive_v1"}, [3, 1]),
        ({"type": "text"}, []),
    ):
        found = (await client.post("/messages/search", json=sought | narrowed)).json()
        assert [one["id"] for one in found["messages"]] == which
    *_, words, show = (await client.get("/messages/audit", params={"bot": "echo"})).json()
    assert (show["action"], show["which"], show["why"]) == ("show", "1", "a complaint")
    assert (words["action"], words["which"], words["why"]) == ("words", "1, 3", "an audit")
    assert "admin token from" in show["who"]


@pytest.mark.parametrize(
    ("request_", "status", "named"),
    [
        (("GET", "/messages?chat=oc_1", None), 422, "bot"),
        (("GET", "/messages/1", None), 422, "why"),
        (("GET", "/messages/1?why=%20", None), 422, "why"),
        (("GET", "/messages/99?why=x", None), 404, "99"),
        (("POST", "/messages/search", {"bot": "echo", "words": "退", "why": "x"}), 422, "words"),
        (("POST", "/messages/search", {"bot": "echo", "words": "refund"}), 422, "why"),
    ],
    ids=["chat without bot", "no why", "empty why", "no such message", "too little", "words without why"],
)
async def test_wrong_requests_name_the_field(
    client: httpx.AsyncClient, request_: tuple[str, str, Any], status: int, named: str
) -> None:
    method, path, body = request_
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status
    assert named in answer.text


async def test_a_row_with_a_bit_turned_over_is_named_and_skipped(client: httpx.AsyncClient, database: Database) -> None:
    messages = Messages(database)
    stored = await messages.show(1)
    assert stored is not None
    assert stored.sealed is not None
    turned = bytearray(stored.sealed)
    turned[-20] ^= 0x10
    table = contents_of(day_of(stored.info.created))
    async with database.writing() as connection:
        await connection.execute(text(f"UPDATE {table} SET sealed = :sealed WHERE id = 1"), {"sealed": bytes(turned)})
    shown = (await client.get("/messages/1", params={"why": "x"})).json()
    assert shown["content"] is None
    assert "changed or moved" in shown["fault"]
    reveals = Reveals(messages, _Keys(echo=CIPHER), Audit(database))
    exported = [one async for one in reveals.export(Query("echo"), who="me", why="x")]
    assert [(one.info.id, one.fault is None) for one in exported] == [(4, True), (3, True), (2, True), (1, False)]
    found = (await client.post("/messages/search", json={"bot": "echo", "words": "refund", "why": "x"})).json()
    assert [(one["id"], one["fault"] is None) for one in found["messages"]] == [(3, True), (1, False)]
