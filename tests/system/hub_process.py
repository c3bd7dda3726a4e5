"""Hubs as real processes, and the `feishu-hub` command."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil

from app.core.engine_socket import socket_url
from tests.ports import free_port
from tests.waiting import PATIENCE, until, wait_until

# A hub compiles once and is started often here; what an operator has set must not reach it.
INHERITED = {
    name: value
    for name, value in os.environ.items()
    if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("HUB_")
}


async def feishu_hub(*arguments: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run the `feishu-hub` command to its end: exit status (-9: killed), what it printed, and its errors."""
    with tempfile.TemporaryDirectory() as directory:
        printed, errors = Path(directory) / "printed", Path(directory) / "errors"
        wanted = {
            "arguments": [*map(str, arguments)],
            "environment": {**INHERITED, **(env or {})},
            "printed": str(printed),
            "errors": str(errors),
        }
        reader, writer = await asyncio.open_unix_connection(forking())
        try:
            writer.write(orjson.dumps(wanted) + b"\n")
            status = await asyncio.wait_for(reader.readline(), PATIENCE)
        finally:
            writer.close()
        return int(status), printed.read_text(), errors.read_text()


@cache
def forking() -> Path:
    """The socket of who runs commands, for all tests of this process; it ends with it."""
    closing = ExitStack()
    atexit.register(closing.close)
    path = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="hub-test-"))) / "socket"
    command = [sys.executable, "-m", "tests.system.forked_commands", str(path)]
    closing.enter_context(subprocess.Popen(command, env=INHERITED, stdin=subprocess.PIPE))
    wait_until(path.exists)
    return path


@dataclass
class HubProcess:
    """One `feishu-hub run`, with its children."""

    config: Path
    data_dir: Path
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None
    log: Path | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def engine_url(self) -> str:
        """Where its embedded engine is."""
        return socket_url(self.data_dir)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until it says that it is ready."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.log = self.data_dir.parent / f"{self.data_dir.name}.log"
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app.cli.main", "run", "-c", str(self.config)),
                *("--host", "127.0.0.1", "--port", str(self.port), "--admin-port", str(self.admin_port)),
                *("--data-dir", str(self.data_dir), *self.arguments),
                env={**INHERITED, **self.env},
                stdout=output,
                stderr=output,
            )
        if ready:
            await self.until_ready()

    async def until_ready(self, timeout: float = PATIENCE) -> None:
        """Wait for `/readyz` on the admin side, which comes last; fails with the log when the process ends."""
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                assert self.process is not None
                if self.process.returncode is not None:
                    raise AssertionError(f"the hub ended with {self.process.returncode}:\n{self.said()[-4000:]}")
                try:
                    async with session.get(f"{self.admin_url}/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            try:
                await until(answers, timeout)
            except TimeoutError:
                raise AssertionError(f"the hub was not ready in {timeout} s:\n{self.said()[-4000:]}") from None

    def said(self) -> str:
        """Its log, whole."""
        return self.log.read_text() if self.log else ""

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self.process is not None and self.process.returncode is None

    def children(self) -> dict[str, list[psutil.Process]]:
        """Its living children by kind: `engine`, `nursery`, `worker`."""
        found: dict[str, list[psutil.Process]] = {"engine": [], "nursery": [], "worker": []}
        try:
            for child in psutil.Process(self.pid).children():
                # Before its exec it is a Python program that runs leash.py; afterwards it gives itself a title.
                if "leash.py" in " ".join(child.cmdline()) or "unixsocket" in " ".join(child.cmdline()):
                    found["engine"].append(child)
                else:
                    found["nursery"].append(child)
                    found["worker"] += child.children()
        except psutil.NoSuchProcess:
            pass  # it died while it was looked at
        return found

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL, as a machine that fails would."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self, timeout: float = PATIENCE) -> int:
        """SIGTERM, and wait until it has drained; its exit status."""
        self.signal(signal.SIGTERM)
        return await self.ended(timeout)

    async def ended(self, timeout: float = PATIENCE) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), timeout)

    async def health(self) -> Any:
        """What the admin side's health page says."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.admin_url}/health") as answer:
            return await answer.json()

    async def is_idle(self) -> bool:
        """Whether nothing waits here, and nothing is being handled; False while it cannot be asked."""
        try:
            # In this order: an event goes from the spool into the queue.
            spooled = (await self.health())["spooled"]
            waiting = [bot["waiting"] for bot in await self.api("GET", "/bots")]
        except (aiohttp.ClientError, OSError):
            return False  # it is being started
        return spooled == 0 and waiting == [0] * len(waiting)

    async def stored(self, bot: str, count: int) -> list[dict[str, Any]]:
        """The bot's messages, the newest first, once so many are in the store; a command costs a second to ask."""
        found: list[dict[str, Any]] = []

        async def are_stored() -> bool:
            found[:] = await self.api("GET", "/messages", params={"bot": bot})
            return len(found) >= count

        await until(are_stored, rest=0.05)
        return found

    async def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call the admin API with its token; the JSON of the answer."""
        token = (self.data_dir / "admin_token").read_text().strip()
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.request(method, f"{self.admin_url}/api/v1{path}", **kwargs) as answer,
        ):
            answer.raise_for_status()
            return await answer.json()
