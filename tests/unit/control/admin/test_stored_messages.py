"""The message store in the admin API: searched without content; whatever opens something is in the audit before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import text

from app.control.admin.access import Access, Caller
from app.control.admin.api import admin_app
from app.control.admin.dead import dead_router
from app.control.admin.stored_messages import stored_messages_router
from app.control.health.status import Health
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.dead_letters import DeadLetters
from app.queue.mailbox import Mailbox
from app.storage.audit import Audit
from app.storage.cipher import Cipher, record_identity
from app.storage.database import Database
from app.storage.keeping import Keeping
from app.storage.message import NewMessage
from app.storage.messages import Messages
from app.storage.reveal import Reveals
from tests.unit.control.admin.parts import known_bots
from tests.unit.queue.incoming import incoming
from tests.unit.storage.catalog import CatalogOf

CIPHER = Cipher("echo", {b"keyi": bytes(32)}, b"keyi")
BASE = "/api/v1"


class _Keys:
    async def cipher(self, bot: str) -> Cipher:
        return CIPHER

    refresh = cipher


def sealed(key: str, text: str) -> bytes:
    document = {"event": {"message": {"content": orjson.dumps({"text": text}).decode()}}, "token": "secret"}
    return CIPHER.seal(orjson.dumps(document), record_identity(key))


@pytest.fixture
async def client(link: RedisLink, keys: Keys, database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async def metrics() -> tuple[bytes, str]:
        return b"", "text/plain"

    database = Database(database_url, tmp_path)
    messages, audit = Messages(database), Audit(database)
    reveals = Reveals(messages, _Keys(), audit)
    said = [
        NewMessage(
            "echo",
            f"evt_{number}",
            "in",
            "t",
            "oc_1",
            "ou_1",
            f"om_{number}",
            number,
            sealed(f"evt_{number}", "refund"),
        )
        for number in (1, 2)
    ]
    await Keeping(messages, _Keys(), CatalogOf(echo={"word_index": True})).insert(said)
    app = admin_app(
        access=Access("the-token", [Caller("shop", "its-token", frozenset({"echo"}))]),
        known=known_bots("echo"),
        routers=[
            dead_router(DeadLetters(link, keys), reveals),
            stored_messages_router(messages, reveals, audit, known_bots("echo")),
        ],
        metrics=metrics,
        health=Health(lambda: "spool", lambda: {}),
    )
    transport = httpx.ASGITransport(app, client=("10.1.2.3", 4))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://hub", headers={"Authorization": "Bearer the-token"}
    ) as client:
        yield client
    await database.close()


async def audit_of(client: httpx.AsyncClient) -> list[tuple[str, ...]]:
    found = (await client.get(f"{BASE}/messages/audit")).json()
    return [tuple(one[name] for name in ("who", "action", "bot", "which", "why")) for one in found]


async def test_nothing_is_opened_without_a_reason_that_is_kept(client: httpx.AsyncClient) -> None:
    (second, first) = (await client.get(f"{BASE}/messages", params={"bot": "echo"})).json()
    assert (first["key"], second["key"], "content" in first) == ("evt_1", "evt_2", False)
    one = f"{BASE}/messages/{first['id']}"
    assert [(await client.get(one, params=given)).status_code for given in ({}, {"why": ""}, {"why": " "})] == [422] * 3
    assert await audit_of(client) == []
    shown = (await client.get(one, params={"why": "a complaint"})).json()
    assert "refund" in orjson.dumps(shown["content"]).decode()
    assert shown["content"]["token"] != "secret", "a verification token is a secret of the app"
    body = {"bot": "echo", "words": "refund", "why": "who was it"}
    found = (await client.post(f"{BASE}/messages/search", json=body)).json()
    assert [message["key"] for message in found["messages"]] == ["evt_2", "evt_1"]
    who = "admin token from 10.1.2.3"
    assert await audit_of(client) == [
        (who, "words", "echo", f"{first['id']}-{second['id']}", "who was it"),
        (who, "show", "echo", str(first["id"]), "a complaint"),
    ]


async def test_an_opened_dead_letter_is_in_the_audit_too(
    client: httpx.AsyncClient, link: RedisLink, keys: Keys
) -> None:
    mailbox = Mailbox(link, keys)
    given = incoming("e1")
    await mailbox.accept([given._replace(entry=given.entry._replace(sealed=sealed("e1", "cannot bear it")))])
    (work,) = await mailbox.take("echo", "n1", 1)
    await mailbox.bury(work, "failed", "ValueError")
    (letter,) = await DeadLetters(link, keys).list("echo")
    path = f"{BASE}/bots/echo/dead/{letter.id}"
    assert [(await client.get(path, params=given)).status_code for given in ({}, {"why": " "})] == [422] * 2
    assert await audit_of(client) == []
    shown = (await client.get(path, params={"why": "it failed"})).json()
    assert "cannot bear it" in orjson.dumps(shown["event"]).decode()
    assert shown["event"]["token"] != "secret"
    assert await audit_of(client) == [("admin token from 10.1.2.3", "dead", "echo", letter.id, "it failed")]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/messages/9223372036854775808", {"why": "x"}),
        ("/messages/-1", {"why": "x"}),
        ("/messages", {"before": 1 << 63}),
        ("/messages", {"bot": "echo", "since": 10**30}),
        ("/messages", {"bot": "echo", "until": -1}),
        ("/messages", {"chat": "oc_1"}),
        ("/messages/audit", {"before": 1 << 63}),
    ],
    ids=str,
)
async def test_a_number_that_no_database_takes_is_the_callers_fault(
    client: httpx.AsyncClient, path: str, given: dict[str, Any]
) -> None:
    assert (await client.get(BASE + path, params=given)).status_code == 422


async def test_a_damaged_row_is_named_and_the_others_are_shown(
    client: httpx.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url, tmp_path)
    async with database.writing() as connection:
        turned = sealed("evt_1", "refund")
        turned = turned[:-1] + bytes([turned[-1] ^ 4])
        await connection.execute(text("UPDATE contents_0 SET sealed = :sealed WHERE id = 1"), {"sealed": turned})
        await connection.execute(text("UPDATE messages SET direction = 'io', state = 'kepu' WHERE id = 1"))
        if database.sqlite:
            await connection.execute(text("UPDATE messages SET user_id = CAST(x'6f755fff' AS TEXT) WHERE id = 1"))
    await database.close()
    listed = (await client.get(f"{BASE}/messages", params={"bot": "echo"})).json()
    assert [one["key"] for one in listed] == ["evt_2", "evt_1"]
    shown = [(await client.get(f"{BASE}/messages/{number}", params={"why": "x"})).json() for number in (1, 2)]
    assert "bot echo" in shown[0]["fault"]
    assert shown[0]["content"] is None
    assert shown[1]["fault"] is None
    found = await client.post(f"{BASE}/messages/search", json={"bot": "echo", "words": "refund", "why": "x"})
    assert "evt_2" in [one["key"] for one in found.json()["messages"]]


async def test_who_may_only_send_reads_nothing(client: httpx.AsyncClient) -> None:
    client.headers["Authorization"] = "Bearer its-token"
    for path in ("/messages", "/messages/1?why=x", "/messages/audit", "/bots/echo/dead"):
        assert (await client.get(BASE + path)).status_code == 403
    body = {"bot": "echo", "words": "refund", "why": "x"}
    assert (await client.post(f"{BASE}/messages/search", json=body)).status_code == 403
