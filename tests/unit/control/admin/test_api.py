"""The admin API: nobody without the token, one form of error, dead letters listed, shown, replayed and dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.control.admin.access import Access
from app.control.admin.api import admin_app
from app.control.admin.auth import admin_token
from app.control.admin.bots import bots_router
from app.control.admin.dead import dead_router
from app.control.admin.nodes import nodes_router
from app.control.health.status import Health
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.clearing import Cleared
from app.queue.dead_letters import DeadLetters
from app.queue.mailbox import Mailbox
from app.storage.audit import Audit
from app.storage.database import Database
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.storage.messages import Messages
from app.storage.reveal import Reveals
from tests.unit.control.admin.parts import known_bots
from tests.unit.queue.incoming import incoming

TOKEN = "the-token"


class Bots:
    async def bots(self) -> Sequence[Mapping[str, Any]]:
        return [{"id": "echo", "state": "broken", "faults": ["config.yaml: handler: missing"]}]


async def clear(bot: str) -> Cleared:
    return Cleared(events=3, dead=2, to_send=1, held=0)


class Reloads:
    def __init__(self) -> None:
        self.asked: list[str | None] = []

    async def __call__(self, bot: str | None) -> None:
        self.asked.append(bot)


async def nodes() -> Sequence[Mapping[str, Any]]:
    return [{"id": "n1", "last_seen": 1.0, "alive": True, "roles": "gateway"}]


async def metrics() -> tuple[bytes, str]:
    return b"hub_redis_up 1.0\n", "text/plain"


@pytest.fixture
def reloads() -> Reloads:
    return Reloads()


@pytest.fixture
async def client(
    link: RedisLink, keys: Keys, reloads: Reloads, database_url: str, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    database = Database(database_url, tmp_path)
    reveals = Reveals(
        Messages(database), Keyring(MasterKey([new_key()], "a test"), link, keys, tmp_path), Audit(database)
    )
    app = admin_app(
        access=Access(TOKEN),
        known=known_bots("echo", left=("nobody",)),
        routers=[
            bots_router(Bots(), reloads, clear),
            dead_router(DeadLetters(link, keys), reveals),
            nodes_router(nodes),
        ],
        metrics=metrics,
        health=Health(lambda: "spool", lambda: {"node": "n1"}),
        metrics_path="/own-metrics",
        health_path="/own-health",
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub", headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:
        yield client
    await database.close()


async def bury(link: RedisLink, keys: Keys) -> str:
    mailbox = Mailbox(link, keys)
    await mailbox.accept([incoming("e1")])
    (work,) = await mailbox.take("echo", "n1", 1)
    await mailbox.bury(work, "failed", "ValueError")
    (letter,) = await DeadLetters(link, keys).list("echo")
    return letter.id


@pytest.mark.parametrize("given", [None, "Bearer", "Bearer wrong", "Basic the-token", "the-token"])
async def test_nobody_without_the_token_gets_in(client: httpx.AsyncClient, given: str | None) -> None:
    client.headers.pop("Authorization")
    headers = {} if given is None else {"Authorization": given}
    answer = await client.get("/api/v1/bots", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "not_allowed"
    assert "WWW-Authenticate" in answer.headers


async def test_bots_nodes_and_reload(client: httpx.AsyncClient, reloads: Reloads) -> None:
    bots = (await client.get("/api/v1/bots")).json()
    assert bots[0]["faults"] == ["config.yaml: handler: missing"]
    assert (await client.get("/api/v1/nodes")).json()[0]["roles"] == "gateway"
    assert (await client.post("/api/v1/bots/reload")).status_code == 200
    assert (await client.post("/api/v1/bots/echo/reload")).status_code == 200
    assert (await client.post("/api/v1/bots/nobody/reload")).status_code == 404
    assert reloads.asked == [None, "echo"]


async def test_what_waits_is_dropped_of_a_bot_without_a_directory_only(client: httpx.AsyncClient) -> None:
    refused = await client.delete("/api/v1/bots/echo/waiting")
    assert refused.status_code == 409
    assert "take that away" in refused.json()["error"]["message"]
    dropped = (await client.delete("/api/v1/bots/nobody/waiting")).json()
    assert dropped == {"events": 3, "dead": 2, "to_send": 1, "held": 0}


async def test_a_dead_letter_is_listed_and_replayed(client: httpx.AsyncClient, link: RedisLink, keys: Keys) -> None:
    letter = await bury(link, keys)
    (listed,) = (await client.get("/api/v1/bots/echo/dead")).json()

    assert (listed["id"], listed["reason"], "event" in listed) == (letter, "failed", False)
    assert (await client.post(f"/api/v1/bots/echo/dead/{letter}/replay")).status_code == 200
    assert (await client.post(f"/api/v1/bots/echo/dead/{letter}/replay")).status_code == 404
    (work,) = await Mailbox(link, keys).take("echo", "n1", 1)
    assert work.entry.replay == 1


async def test_a_dead_letter_is_dropped_once(client: httpx.AsyncClient, link: RedisLink, keys: Keys) -> None:
    letter = await bury(link, keys)

    assert (await client.delete(f"/api/v1/bots/echo/dead/{letter}")).status_code == 200
    gone = await client.delete(f"/api/v1/bots/echo/dead/{letter}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


async def test_the_document_says_how_to_be_let_in(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/v1/openapi.json", headers={"Authorization": ""})).json()

    assert [one["scheme"] for one in document["components"]["securitySchemes"].values()] == ["bearer"]
    assert all(verb["security"] for path in document["paths"].values() for verb in path.values())


async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/bots/echo/dead?limit=0")

    assert answer.status_code == 422
    assert "query.limit" in answer.json()["error"]["message"]


async def test_a_fault_of_the_hub_has_the_form_of_every_error(
    client: httpx.AsyncClient, reloads: Reloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_reloads: Reloads, _bot: str | None) -> None:
        raise RuntimeError("what nobody should read")

    monkeypatch.setattr(Reloads, "__call__", broken)
    # The server is told of it too, for its log.
    client._transport = httpx.ASGITransport(client._transport.app, raise_app_exceptions=False)  # type: ignore[attr-defined]

    answer = await client.post("/api/v1/bots/reload")

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "nobody should" not in answer.text


async def test_pages_for_machines_need_no_token(client: httpx.AsyncClient) -> None:
    client.headers.pop("Authorization")

    assert (await client.get("/own-metrics")).text == "hub_redis_up 1.0\n"
    assert (await client.get("/own-health")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "degraded"}
    assert (await client.head("/readyz")).status_code == 200
    assert (await client.get("/health")).json() == {"status": "degraded", "node": "n1"}
    assert (await client.get("/docs")).status_code == 200


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    token = admin_token(tmp_path, None)

    assert admin_token(tmp_path, None) == token
    assert admin_token(tmp_path, "configured") == "configured"
    assert (tmp_path / "admin_token").stat().st_mode & 0o777 == 0o600
    assert Access(token).caller(f"Bearer {token}") is not None
    assert Access(token).caller("Bearer ") is None
