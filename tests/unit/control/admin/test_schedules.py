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
