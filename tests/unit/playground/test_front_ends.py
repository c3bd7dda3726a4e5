"""Both ways to serve the playground, its own server and ASGI, answer alike and cut connections alike."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from app.control.playground import Playground
from app.control.playground.faults import FaultKind
from tests.unit.playground.fake_hub import TOKEN, Caller
from tests.waiting import PATIENCE, until


@pytest.fixture(params=["own", "uvicorn"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Playground, str]]:
    async with Playground() as playground:
        if request.param == "own":
            yield playground, await playground.start()
            return
        server = uvicorn.Server(uvicorn.Config(playground.app, log_level="critical", lifespan="off"))
        listener = socket.create_server(("127.0.0.1", 0))
        running = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started)
        yield playground, f"http://127.0.0.1:{listener.getsockname()[1]}"
        playground.feed.close()
        server.should_exit = True
        await running


async def test_calls_and_cut_connections(served: tuple[Playground, str]) -> None:
    playground, url = served
    app = playground.add_app("cli_a", "s", "A", None, TOKEN)
    chat = playground.p2p_chat(app, playground.add_user("Ann"))
    kinds: list[FaultKind] = ["reset", "half", "lost"]
    async with aiohttp.ClientSession() as session:
        call = Caller(session, url, playground.tokens.issue(app, "t-")[0])
        assert (await call.say(chat.chat_id, "hi"))[1]["code"] == 0
        for kind in kinds:
            playground.faults.add(kind)
            with pytest.raises(aiohttp.ClientError):
                await call.say(chat.chat_id, kind)
        assert (await call.say(chat.chat_id, "still there"))[1]["code"] == 0
    assert [m.content[9:-2] for m in playground.ledger.messages()] == ["hi", "half", "lost", "still there"]


async def test_the_page_and_its_control_api(served: tuple[Playground, str]) -> None:
    playground, url = served
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/playground") as response:
            page = await response.text()
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert f'content="{playground.control_token}"' in page
        assert "<script>" not in page
        assert "style=" not in page
        for name in ("page.js", "card.css", "icon.svg"):
            async with session.get(f"{url}/playground/static/{name}") as response:
                assert response.status == 200
        for name in ("../page.py", "%2e%2e/page.py", "page.html", "unknown.js"):
            async with session.get(f"{url}/playground/static/{name}") as response:
                assert response.status == 404
        async with session.get(f"{url}/_playground/state") as response:
            assert response.status == 401
        async with session.get(f"{url}/_playground/state", headers=control(playground)) as response:
            assert (await response.json())["apps"] == []


async def test_notes_arrive_live_and_stop_with_the_listener(served: tuple[Playground, str]) -> None:
    playground, url = served
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/_playground/feed", headers=control(playground)) as response:
            assert await response.content.readuntil(b"\n\n") == b": welcome\n\n"
            playground.add_user("Ann")
            assert await response.content.readuntil(b"\n\n") == b'data: {"type":"world"}\n\n'
            assert playground.feed.listening == 1
        playground.add_user("Tom")
    await until(lambda: playground.feed.listening == 0)


async def test_the_page_can_be_mounted_under_any_prefix() -> None:
    playground = Playground()
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/admin/talk", playground.page_app)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        page = await client.get("/admin/talk/")
        assert 'src="/admin/talk/static/page.js"' in page.text
        assert (await client.get("/admin/talk/static/page.js")).status_code == 200
        state = await client.get("/admin/talk/_playground/state", headers=control(playground))
        assert state.json()["users"] == []
        assert (await client.post("/admin/talk/")).status_code == 405


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    async with Playground() as playground:
        url = await playground.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        for path in (b"/one", b"/open-apis/two", b"/three"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        writer.write(b"not HTTP at all\r\n\r\n")
        answers = await reader.read()
        writer.close()
        assert answers.count(b"HTTP/1.1 404") == 3
        assert b"99991000" in answers.split(b"HTTP/1.1")[2]
        assert answers.split(b"HTTP/1.1")[4].startswith(b" 400")


def control(playground: Playground) -> dict[str, str]:
    return {"X-Playground-Token": playground.control_token}


async def test_an_open_page_does_not_hold_up_a_closing_server() -> None:
    playground = Playground()
    server = uvicorn.Server(uvicorn.Config(playground.app, log_level="critical", lifespan="off"))
    listener = socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"http://127.0.0.1:{listener.getsockname()[1]}/_playground/feed", headers=control(playground)
        ) as response,
    ):
        await response.content.readuntil(b"\n\n")
        server.should_exit = True
        assert await asyncio.wait_for(response.content.read(), PATIENCE) == b""
    await running
