"""Schedules in the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.control.admin.schedules import schedules_router
from app.control.scheduler.firing import Firing
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.schedule import Schedule
from app.queue.mailbox import Mailbox
from app.queue.timetable import Timetable
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from tests.unit.queue.incoming import incoming
from tests.unit.worker.kit import Bots, spec


@pytest.fixture
async def client(link: RedisLink, keys: Keys, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    keyring = Keyring(MasterKey([new_key()], "the test"), link, keys, tmp_path / "keys")
    timetable, bots = Timetable(link, keys), Bots(spec())
    await timetable.plan("echo", [Schedule("morning", "0 9 * * *", "Asia/Shanghai", "once", "oc_1")])
    app = FastAPI()
    app.include_router(schedules_router(timetable, Firing(timetable, Mailbox(link, keys), keyring, bots), bots))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        yield client
    await keyring.close()


async def test_a_schedule_is_listed_paused_resumed_and_run(
    client: httpx.AsyncClient, link: RedisLink, keys: Keys
) -> None:
    [listed] = (await client.get("/bots/echo/schedules")).json()
    assert listed.pop("next") > 1.7e9
    assert listed == {
        "name": "morning",
        "paused": False,
        "cron": "0 9 * * *",
        "tz": "Asia/Shanghai",
        "missed": "once",
        "chat": "oc_1",
    }
    assert (await client.post("/bots/echo/schedules/morning/pause")).status_code == 200
    [paused] = (await client.get("/bots/echo/schedules")).json()
    assert (paused["paused"], paused["next"]) == (True, None)
    assert (await client.post("/bots/echo/schedules/morning/run")).status_code == 200
    assert await Mailbox(link, keys).depth("echo") == 1
    assert (await client.post("/bots/echo/schedules/morning/resume")).status_code == 200
    [resumed] = (await client.get("/bots/echo/schedules")).json()
    assert not resumed["paused"]


@pytest.mark.parametrize("what", ["run", "pause", "resume"])
@pytest.mark.parametrize("bot", ["echo", "nobody"])
async def test_a_schedule_that_is_not_there_is_404(client: httpx.AsyncClient, bot: str, what: str) -> None:
    answer = await client.post(f"/bots/{bot}/schedules/evening/{what}")
    assert answer.status_code == 404
    assert "no schedule evening" in answer.text


async def test_a_reminder_is_dropped_and_nothing_else(client: httpx.AsyncClient, link: RedisLink, keys: Keys) -> None:
    entry = incoming("later:1").entry
    await link.commands.hset(keys.bot("echo", "reminders"), "1-2", entry.packed() + b"\n" + entry.sealed)
    await link.commands.zadd(keys.bot("echo", "timers"), {"r:1-2": 4_000_000_000_123})
    for method, path in (("POST", "1-2/pause"), ("POST", "1-2/run"), ("POST", "1-2/resume")):
        answer = await client.request(method, f"/bots/echo/schedules/{path}")
        assert (answer.status_code, "is a reminder" in answer.text) == (404, True)
    answer = await client.delete("/bots/echo/schedules/morning")
    assert (answer.status_code, "is a schedule" in answer.text) == (404, True)
    assert (await client.delete("/bots/echo/schedules/1-2")).status_code == 200
    assert [one["name"] for one in (await client.get("/bots/echo/schedules")).json()] == ["morning"]
    assert not await link.commands.exists(keys.bot("echo", "reminders"))
    assert "no schedule 1-2" in (await client.delete("/bots/echo/schedules/1-2")).text
