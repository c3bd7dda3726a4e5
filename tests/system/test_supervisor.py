"""The shipped supervisor files under a real supervisord: what is killed comes back, and no event is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from app.control.playground.people import Said
from tests.ports import free_port
from tests.system.hub_process import INHERITED
from tests.system.world import Site, site_at
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system

SHIPPED = Path(__file__).parents[2] / "supervisor"


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    """A project as it stands after `git clone` and `make`, without bots; in /tmp, since sockets want short paths."""
    root = Path(tempfile.mkdtemp(prefix="hub-"))
    shutil.copytree(SHIPPED, root / "supervisor")
    command = root / ".venv" / "bin" / "feishu-hub"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m app.cli.main "$@"\n')
    command.chmod(0o755)
    (root / "run").mkdir()
    async with site_at(root, database_url) as site:
        yield site
    shutil.rmtree(root)


class Supervisord:
    """One supervisord on a shipped file."""

    def __init__(self, site: Site, file: str, env: dict[str, str]) -> None:
        self._root = site.root
        self._file = site.root / "supervisor" / file
        self._env = {**INHERITED, "PYTHONPATH": str(SHIPPED.parent), **env}

    async def __aenter__(self) -> Supervisord:
        self._process = await asyncio.create_subprocess_exec(
            *(_beside_python("supervisord"), "--nodaemon", "--configuration", str(self._file)),
            cwd=self._root,
            env=self._env,
            stdout=asyncio.subprocess.DEVNULL,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(self._process.wait(), PATIENCE) == 0

    async def control(self, *arguments: str) -> str:
        """What `supervisorctl` answers."""
        process = await asyncio.create_subprocess_exec(
            *(_beside_python("supervisorctl"), "--configuration", str(self._file), *arguments),
            cwd=self._root,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        return printed.decode().strip()

    async def pid(self, program: str) -> int:
        pid = int(await self.control("pid", program))
        assert pid > 0, f"{program} does not run"  # 0, killed, is every process of this run
        return pid

    def said(self) -> str:
        """The end of every log that it keeps."""
        return "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in (self._root / "run").glob("*.log"))


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).parent / name)


async def until_ready(supervisord: Supervisord, *admin_ports: int) -> None:
    async with aiohttp.ClientSession() as session:

        async def all_ready() -> bool:
            for port in admin_ports:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status != 200:
                            return False
                except aiohttp.ClientError:
                    return False
            return True

        try:
            await until(all_ready)
        except TimeoutError:
            raise AssertionError(supervisord.said()) from None


async def write(site: Site, bot: str, person: str, count: int) -> list[Said]:
    """Somebody writes so many messages, each when the one before was taken."""
    chat = site.chat(bot, person)
    written = []
    for number in range(count):
        said = await site.playground.user_says(chat.users[0], chat, str(number))
        await said.settled()
        written.append(said)
    return written


async def all_answered_once(site: Site, written: list[Said]) -> None:
    await until(lambda: all(site.replies(said) for said in written if said.deliveries[0].acked))
    for said in written:
        assert len(site.replies(said)) == said.deliveries[0].acked
    assert sum(said.deliveries[0].acked for said in written) > 0.9 * len(written)


async def test_killed_hub_is_started_again_and_loses_nothing(site: Site) -> None:
    site.bot("echo")
    site.playground.limits.enabled = False
    port, admin = free_port(), free_port()
    env = {"HUB_PORT": str(port), "HUB_ADMIN_PORT": str(admin), "HUB_SERVER__HOST": "127.0.0.1"}
    async with Supervisord(site, "supervisord.conf", env) as supervisord:
        await until_ready(supervisord, admin)
        site.point_at(f"http://127.0.0.1:{port}")
        writing = [asyncio.create_task(write(site, "echo", f"person {number}", 20)) for number in range(10)]
        for round_ in range(3):
            await until(lambda at=round_: len(site.playground.ledger.accepted) > 20 * at)  # type: ignore[misc]
            pid = await supervisord.pid("feishu-hub")
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]
            await until_ready(supervisord, admin)
            site.clock.hurry()
        written = [said for one in await asyncio.gather(*writing) for said in one]
        await all_answered_once(site, written)
        hub = psutil.Process(await supervisord.pid("feishu-hub"))
        family = [hub, *hub.children(recursive=True)]
        stopped = await supervisord.control("stop", "feishu-hub")
        assert "stopped" in stopped
        assert not any(process.is_running() for process in family), "it took its engine and its workers along"
        assert "node stopped" in (site.root / "run" / "feishu-hub.log").read_text()


async def test_one_process_a_bot(site: Site) -> None:
    """Engine, support, hr and echo, as bots.conf has them; each of the bots and the engine is killed once."""
    site.playground.limits.enabled = False
    ports = {name: (free_port(), free_port()) for name in ("support", "hr", "echo")}
    for name, (port, admin) in ports.items():
        app = site.bot(name, server={"port": port}, monitoring={"metrics": {"port": admin}})
        app.event_url = app.callback_url = f"http://127.0.0.1:{port}/webhook/{name}"
    admins = [admin for _, admin in ports.values()]
    async with Supervisord(site, "bots.conf", {}) as supervisord:
        await until_ready(supervisord, *admins)
        writing = [
            asyncio.create_task(write(site, bot, f"person {number}", 20)) for bot in ports for number in range(3)
        ]
        for program in ("bot-support", "engine", "bot-hr", "bot-echo"):
            pid = await supervisord.pid(program)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]
        await until_ready(supervisord, *admins)
        site.clock.hurry()
        written = [said for one in await asyncio.gather(*writing) for said in one]
        await all_answered_once(site, written)
        keys = list(site.root.rglob("master.key"))
        assert keys == [site.root / "data" / "shared" / "master.key"], "one master key, made by the engine"
        states = await supervisord.control("status")
        assert states.count("RUNNING") == 4, states
