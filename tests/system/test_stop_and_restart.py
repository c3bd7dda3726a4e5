"""A hub that is stopped finishes what it has begun, or hands it back; the next one goes on with the queue."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.system.hub_process import HubProcess
from tests.system.world import Site
from tests.waiting import until

pytestmark = pytest.mark.system

GATED = '''
"""Says that it has begun, and answers when it is let."""
import asyncio
from pathlib import Path

from app.sdk import Bot, Context, Message

bot = Bot()
ROOT = Path({root!r})


@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    with (ROOT / "begun").open("a") as begun:
        begun.write(message.text + "\\n")
    while not (ROOT / "go").exists():
        await asyncio.sleep(0.01)
    if message.text == "long":
        await asyncio.sleep(1)  # longer than everything that ends before the handlers
    return f"echo {{message.text}}"
'''


@pytest.fixture
def gated(site: Site) -> Site:
    """A site with one bot, whose handler waits for a file."""
    site.handler("gated", GATED.format(root=str(site.root)))
    site.bot("gated", handler="gated")
    return site


def begun(site: Site) -> list[str]:
    path = site.root / "begun"
    return path.read_text().split() if path.exists() else []


async def is_deaf(hub: HubProcess) -> bool:
    """Whether it has closed its door, which it does before it waits for its handlers."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    except OSError:
        return True
    writer.close()
    return False


async def test_stop_waits_for_a_handler(gated: Site) -> None:
    hub = gated.hub()
    await hub.start()
    gated.point_at(hub)
    said = await gated.says("gated", "long")
    await until(lambda: begun(gated) == ["long"])
    hub.signal(signal.SIGTERM)
    await until(lambda: is_deaf(hub))
    (gated.root / "go").touch()
    assert await hub.ended() == 0
    assert gated.replies(said) == ["echo long"]


async def test_handler_that_takes_too_long_is_handed_back(gated: Site) -> None:
    gated.settings(drain_timeout="200ms")
    hub = gated.hub()
    await hub.start()
    gated.point_at(hub)
    said = await gated.says("gated", "one")
    await until(lambda: begun(gated) == ["one"])
    assert await hub.stop() == 0
    assert "events are handed back" in hub.said()
    assert gated.replies(said) == []
    (gated.root / "go").touch()
    await hub.start()
    await until(lambda: gated.replies(said))
    assert begun(gated) == ["one", "one"]
    assert gated.replies(said) == ["echo one"]


async def test_restart_keeps_the_queue_in_order(gated: Site) -> None:
    hub = gated.hub()
    await hub.start()
    gated.point_at(hub)
    said = [await gated.says("gated", text) for text in ("one", "two", "three")]
    gated.settings(drain_timeout="0s")
    await hub.kill()
    (gated.root / "go").touch()
    await hub.start()
    await until(lambda: gated.replies(said[-1]))
    assert [reply for one in said for reply in gated.replies(one)] == ["echo one", "echo two", "echo three"]


async def test_ctrl_c_in_a_terminal_drains_too(gated: Site) -> None:
    """The whole process group hears it; the node decides."""
    hub = gated.hub()
    await hub.start()
    gated.point_at(hub)
    said = await gated.says("gated", "long")
    await until(lambda: begun(gated) == ["long"])
    for process in (hub.children()["worker"], hub.children()["nursery"]):
        process[0].send_signal(signal.SIGINT)
    hub.signal(signal.SIGINT)
    await until(lambda: is_deaf(hub))
    (gated.root / "go").touch()
    assert await hub.ended() == 0
    assert gated.replies(said) == ["echo long"]


async def test_second_hub_on_a_data_directory_is_refused(site: Site, tmp_path: Path) -> None:
    site.bot("echo")
    first = site.hub()
    await first.start()
    site.point_at(first)
    second = site.hub()
    second.log = None
    await second.start(ready=False)
    assert await second.ended() == 1
    assert "feishu-hub engine" in second.said()
    assert await site.asks("echo", "hello") == "echo hello"


async def test_port_that_is_taken_is_named(site: Site) -> None:
    site.bot("echo")
    hub = site.hub()
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", hub.port)
    async with server:
        await hub.start(ready=False)
        assert await hub.ended() == 1
    assert f"server.port: cannot listen on 127.0.0.1:{hub.port}" in hub.said()
    assert "Traceback" not in hub.said()
