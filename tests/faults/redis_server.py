"""A Redis of an operator's own, which can be stopped, killed and started again on what it wrote."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path

from app.core.engine import find_binary
from tests.waiting import until

_FLAGS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction")


class ExternalRedis:
    """One server on a unix socket; `async with` ends it and removes what it kept."""

    def __init__(self) -> None:
        # Not under pytest's directory: a socket's path has room for about 100 bytes.
        self._directory = Path(tempfile.mkdtemp(prefix="hub-redis-"))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._directory}/redis.sock"

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            *(find_binary(), "--port", "0", "--unixsocket", str(self._directory / "redis.sock")),
            *("--dir", str(self._directory), "--logfile", str(self._directory / "redis.log"), *_FLAGS),
        )
        await until(self._answers)

    async def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self._directory / "redis.sock")
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(b"+PONG")
        finally:
            writer.close()

    async def __aenter__(self) -> ExternalRedis:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()
        shutil.rmtree(self._directory)
