"""Tasks and the cache in the admin API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.control.admin.cache import cache_router
from app.control.admin.followers import Followers
from app.control.admin.tasks import tasks_router
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.tasks import TaskInfo, Tasks
from tests.unit.queue.test_ledger import claimed
from tests.waiting import PATIENCE


async def opened(task: TaskInfo) -> str | None:
    return task.note.decode() or None


async def stats() -> dict[str, dict[str, int]]:
    return {"memory": {"hit": 2}}


@pytest.fixture
async def client(link: RedisLink, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    for router in (tasks_router(Tasks(link, keys), opened, Followers(1, lambda: False)), cache_router(stats)):
        app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        yield client


async def test_tasks_are_listed_shown_and_followed(client: httpx.AsyncClient, link: RedisLink, keys: Keys) -> None:
    work, tasks = await claimed(link, keys), Tasks(link, keys)
    await tasks.update(work, "report", "running", 0.5, b"page 3", 600.0)
    [listed] = (await client.get("/bots/echo/tasks")).json()
    assert (listed["id"], listed["status"], listed["progress"], "note" in listed) == ("report", "running", 0.5, False)
    assert (await client.get("/bots/echo/tasks/report")).json()["note"] == "page 3"

    following = asyncio.create_task(client.get("/bots/echo/tasks/report/events"))
    # Whoever comes late is told the last state all the same.
    await tasks.update(work, "report", "done", 1.0, b"", 600.0)
    answer = await asyncio.wait_for(following, PATIENCE)
    said = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data")]
    assert said[-1]["status"] == "done"
    assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("path", ["report", "report/events"])
async def test_a_task_that_is_not_there_is_404(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/bots/echo/tasks/{path}")
    assert answer.status_code == 404
    assert "no task report" in answer.text


async def test_the_caches_numbers_are_shown(client: httpx.AsyncClient) -> None:
    assert (await client.get("/cache")).json() == {"memory": {"hit": 2}}
