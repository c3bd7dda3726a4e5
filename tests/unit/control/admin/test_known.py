"""Whoever asks about a bot that is nowhere is told so; one whose directory is gone stays within reach."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.control.admin.access import Access, Caller
from app.control.admin.api import admin_app
from app.control.admin.dead import dead_router
from app.control.admin.followers import Followers
from app.control.admin.known import KnownBots
from app.control.admin.stored_messages import stored_messages_router
from app.control.admin.tasks import tasks_router
from app.control.health.status import Health
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.dead_letters import DeadLetters
from app.queue.tasks import TaskInfo, Tasks
from app.storage.audit import Audit
from app.storage.database import Database
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.storage.messages import Messages
from app.storage.reveal import Reveals
from app.storage.traces import Traces
from tests.unit.control.admin.test_api import bury, metrics
from tests.unit.storage.test_messages import ROW

PATHS = ("bots/{}/dead", "bots/{}/tasks", "messages?bot={}", "messages/audit?bot={}")


async def no_note(_task: TaskInfo) -> str | None:
    return None


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(database_url, tmp_path)
    yield database
    await database.close()


@pytest.fixture
async def client(link: RedisLink, keys: Keys, database: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    messages, audit = Messages(database), Audit(database)
    keyring = Keyring(MasterKey([new_key()], "a test"), link, keys, tmp_path)
    reveals = Reveals(messages, keyring, audit)
    known = KnownBots(lambda: {"support"}, Traces(link, keys, messages).left_by)
    app = admin_app(
        access=Access("the-token", [Caller("shop", "its-token", frozenset({"support"}))]),
        known=known,
        routers=[
            dead_router(DeadLetters(link, keys), reveals),
            tasks_router(Tasks(link, keys), no_note, Followers(1, lambda: False)),
            stored_messages_router(messages, reveals, audit, known),
        ],
        metrics=metrics,
        health=Health(lambda: "queue", dict),
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://hub/api/v1",
        headers={"Authorization": "Bearer the-token"},
    ) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_a_bot_that_is_nowhere_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path.format("support"))).json() == []
    answer = await client.get(path.format("suport"))
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert answer.json()["error"]["message"].startswith("there is no bot suport: did you mean support?")


async def test_looking_for_words_of_such_a_bot_makes_no_key_for_it(
    client: httpx.AsyncClient, link: RedisLink, keys: Keys
) -> None:
    asked = {"bot": "suport", "words": "refund", "why": "a complaint"}
    assert (await client.post("messages/search", json=asked)).status_code == 404
    assert not await link.commands.exists(keys.bot("suport", "key"))


@pytest.mark.parametrize("bot", ["", "no}bot", "x" * 65, "a b"])
async def test_what_can_be_no_name_is_nobodys(client: httpx.AsyncClient, bot: str) -> None:
    assert (await client.get("messages", params={"bot": bot})).status_code == 404


async def test_dead_letters_of_a_bot_without_a_directory_are_shown(
    client: httpx.AsyncClient, link: RedisLink, keys: Keys
) -> None:
    letter = await bury(link, keys)
    assert [one["id"] for one in (await client.get("bots/echo/dead")).json()] == [letter]


async def test_so_are_messages_whose_redis_is_gone(client: httpx.AsyncClient, database: Database) -> None:
    await Messages(database).insert([ROW])
    assert len((await client.get("messages?bot=echo")).json()) == 1


async def test_who_is_not_let_in_is_not_told_which_bots_there_are(client: httpx.AsyncClient) -> None:
    for token, status in (("wrong", 401), ("its-token", 403)):
        answer = await client.get("bots/suport/dead", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
        assert "support" not in answer.text
