"""`feishu-hub run -c config/BOT`: one bot as a process of its own, with its own ports, metrics and data."""

from __future__ import annotations

import asyncio
import signal
import sys

import aiohttp
import pytest

from tests.ports import free_port
from tests.system.hub_process import INHERITED, HubProcess, feishu_hub
from tests.system.world import Site
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system


async def status_of(url: str) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(url) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0


async def test_its_own_configuration_says_where_it_listens(site: Site) -> None:
    port, admin_port = free_port(), free_port()
    site.bot(
        "alone",
        server={"port": port},
        monitoring={"metrics": {"port": admin_port, "path": "/numbers"}, "health_check": {"path": "/lives"}},
    )
    site.bot("other")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli.main", "run", "-c", str(site.config / "alone")),
        *("--host", "127.0.0.1", "--data-dir", str(site.root / "alone"), "--bots", str(site.bots_dir)),
        env=INHERITED,
    )
    try:
        admin = f"http://127.0.0.1:{admin_port}"
        await until(lambda: is_up(admin, "/lives"))
        site.point_at(f"http://127.0.0.1:{port}")
        assert await site.asks("alone", "hello") == "echo hello"
        assert await status_of(f"{admin}/numbers") == 200
        assert await status_of(f"{admin}/metrics") == 404
        assert await status_of(f"{admin}/healthz") == 200
        assert not await site.playground.challenge(site.apps["other"]), "another bot is not served here"
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def is_up(admin: str, path: str) -> bool:
    return await status_of(admin + path) == 200


async def test_two_of_them_share_an_engine_and_a_master_key(site: Site) -> None:
    """Neither takes the other's events, though they lie in one Redis."""
    engine = site.root / "shared"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli.main", "engine", "--data-dir", str(engine)),
        env=INHERITED,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode().strip()
        url = line.removeprefix("HUB_REDIS_URL=")
        env = {"HUB_REDIS_URL": url, "HUB_MASTER_KEY_FILE": str(engine / "master.key")}
        hubs = {name: single(site, name, env) for name in ("first", "second")}
        for hub in hubs.values():
            await hub.start()
        for name, hub in hubs.items():
            app = site.apps[name]
            app.event_url = app.callback_url = f"{hub.url}/webhook/{name}"
        for number in range(5):
            for name in hubs:
                assert await site.asks(name, str(number)) == f"echo {number}"
        await hubs["first"].stop()
        said = await site.says("second", "still here")
        await until(lambda: site.replies(said))
        await hubs["second"].stop()
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


def single(site: Site, name: str, env: dict[str, str]) -> HubProcess:
    site.bot(name)
    hub = site.hub(f"data-{name}", env=env)
    hub.config = site.config / name
    return hub


async def test_it_cannot_do_without_a_master_key_elsewhere(site: Site) -> None:
    site.bot("alone")
    status, _, error = await feishu_hub(
        *("run", "-c", site.config / "alone", "--data-dir", site.root / "alone", "--port", "0", "--admin-port", "0"),
        env={"HUB_REDIS_URL": f"unix://{site.root}/nowhere.sock"},
    )
    assert status == 1
    assert "feishu-hub keys make" in error
    assert "Traceback" not in error
