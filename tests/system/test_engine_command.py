"""`feishu-hub engine` as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from app.core.redis import connect
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system

PROGRAM = """
import typer
from app.cli.engine import engine
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(engine)
app()
"""
COMMAND = (sys.executable, "-c", PROGRAM)


class Running:
    """The command on a data directory, and where it says its Redis is."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.url = ""

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *COMMAND, "--data-dir", str(self._data_dir), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        line = (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)).decode()
        assert line.startswith("HUB_REDIS_URL=unix://"), line
        self.url = line.strip().removeprefix("HUB_REDIS_URL=")

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        await asyncio.wait_for(self.process.communicate(), PATIENCE)
        assert self.process.returncode is not None
        return self.process.returncode

    def server(self) -> psutil.Process:
        [server] = psutil.Process(self.process.pid).children()
        return server


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path)
    await running.start()
    yield running
    if running.process.returncode is None:
        await running.end(signal.SIGKILL)


async def count(url: str) -> int:
    link = await connect(url)
    try:
        return int(await link.commands.incr("n"))
    finally:
        await link.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_its_server_when_it_is_ended(running: Running, number: signal.Signals) -> None:
    server = running.server()
    assert await count(running.url) == 1
    assert await running.end(number) == 0
    assert not server.is_running()


async def test_it_makes_a_master_key_only_its_owner_can_read(running: Running, tmp_path: Path) -> None:
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


async def test_its_server_dies_with_it_and_the_next_one_has_everything(running: Running) -> None:
    for expected in range(1, 4):
        server = running.server()
        assert await count(running.url) == expected
        await running.end(signal.SIGKILL)
        await running.start()  # at once: the server may be on its way out
        await until(lambda server=server: not server.is_running())  # type: ignore[misc]


async def test_a_second_one_on_the_directory_is_refused(running: Running, tmp_path: Path) -> None:
    second = await asyncio.create_subprocess_exec(
        *COMMAND, "--data-dir", str(tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, error = await asyncio.wait_for(second.communicate(), PATIENCE)
    assert second.returncode == 1
    assert f"process {running.process.pid}".encode() in error.replace(b"\n", b" ")
    assert await count(running.url) == 1


@pytest.mark.parametrize(("option", "value"), [("--fsync", "sometimes"), ("--maxmemory", "much")])
async def test_a_wrong_option_is_a_usage_error(tmp_path: Path, option: str, value: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--data-dir", str(tmp_path), option, value, stderr=asyncio.subprocess.PIPE
    )
    _, error = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 2
    assert value.encode() in error
