"""So many follow something at once, and no more: the next one is told when to come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import httpx
import pytest
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from app.control.admin.access import Access
from app.control.admin.api import admin_app
from app.control.admin.followers import Followers
from app.control.health.status import Health
from tests.unit.control.admin.parts import known_bots
from tests.unit.control.admin.test_api import metrics
from tests.waiting import PATIENCE, until


class Scene:
    """Something to be followed until it is `over`, or the node is `ending`."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.ending = False
        self.followers = Followers(2, lambda: self.ending)
        self.left = 0

    async def source(self) -> AsyncGenerator[dict[str, int], None]:
        try:
            yield {"step": 1}
            await self.over.wait()
            yield {"step": 2}
        finally:
            self.left += 1

    def app(self) -> httpx.ASGITransport:
        api = APIRouter()

        @api.get("/events", response_class=StreamingResponse)
        async def events() -> StreamingResponse:
            return self.followers.stream(self.source(), event="state")

        return httpx.ASGITransport(
            admin_app(
                access=Access("t"),
                known=known_bots(),
                routers=[api],
                metrics=metrics,
                health=Health(lambda: "queue", dict),
            )
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
async def client(scene: Scene) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer t"}
    async with httpx.AsyncClient(transport=scene.app(), base_url="http://hub/api/v1", headers=headers) as client:
        yield client


async def test_one_too_many_is_told_to_come_again(scene: Scene, client: httpx.AsyncClient) -> None:
    following = [asyncio.create_task(client.get("events")) for _ in range(2)]
    await until(lambda: scene.followers.count == 2)
    refused = await client.get("events")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
    assert "server.admin.max_followers" in refused.json()["error"]["message"]
    assert int(refused.headers["Retry-After"]) > 0
    assert (scene.followers.count, scene.followers.refused) == (2, 1)

    scene.over.set()
    for answer in await asyncio.gather(*following):
        assert answer.text == 'event: state\ndata: {"step":1}\n\nevent: state\ndata: {"step":2}\n\n'
        assert answer.headers["content-type"].startswith("text/event-stream")
    assert (scene.followers.count, scene.left) == (0, 2)
    assert (await client.get("events")).status_code == 200


async def test_who_goes_away_makes_room(scene: Scene, client: httpx.AsyncClient) -> None:
    following = asyncio.create_task(client.get("events"))
    await until(lambda: scene.followers.count == 1)
    following.cancel()
    await until(lambda: scene.followers.count == 0)
    await until(lambda: scene.left == 1)


async def test_a_node_that_ends_ends_the_streams(scene: Scene, client: httpx.AsyncClient) -> None:
    following = asyncio.create_task(client.get("events"))
    await until(lambda: scene.followers.count == 1)
    scene.ending = True
    assert (await asyncio.wait_for(following, PATIENCE)).text.endswith('{"step":1}\n\n')
    assert scene.left == 1
