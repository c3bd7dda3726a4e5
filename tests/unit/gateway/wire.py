"""A connection to the public listener's protocol, in memory."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 4711), "sockname": ("127.0.0.1", 80)}.get(name, default)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Wire:
    """One connection, made."""

    def __init__(self, kind: type[HttpToolsProtocol], app: Any, **settings: Any) -> None:
        config = Config(
            app, http=kind, lifespan="off", log_config=None, access_log=False, proxy_headers=False, **settings
        )
        config.load()
        self.state = ServerState()
        self.transport = Transport()
        self.protocol = kind(config, self.state, {})
        self.protocol.connection_made(self.transport)

    @property
    def said(self) -> bytes:
        """All that was answered."""
        return b"".join(self.transport.writes)

    async def send(self, *parts: bytes) -> None:
        """Have `parts` arrive one after the other."""
        for part in parts:
            self.protocol.data_received(part)
            await asyncio.sleep(0)

    async def tasks(self) -> None:
        """Wait until all ASGI tasks have ended."""
        while self.state.tasks:
            await asyncio.wait(set(self.state.tasks))
            await asyncio.sleep(0)

    def hang_up(self) -> None:
        self.protocol.connection_lost(None)
