"""The node's two listeners: uvicorn servers that the node itself starts and stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from app.core.errors import StartError
from app.gateway.bounds import BoundedProtocol


class _Server(uvicorn.Server):
    """One HTTP listener on a bound socket; signals stay the node's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the node drains in its own order."""
        yield


@asynccontextmanager
async def serving(
    app: Any, where: socket.socket, *, protocol: type[BoundedProtocol] = BoundedProtocol
) -> AsyncIterator[None]:
    """Serve an ASGI app on a bound socket; at the end, requests under way are still answered.

    As fast as Python has it: uvloop, httptools, no access log. StartError when it does not start.
    """
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        # Who the client is, the admission rules decide: the server must not believe a header.
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
        backlog=4096,
    )
    server = _Server(config)
    listening = asyncio.create_task(server.serve(sockets=[where]), name="listener")
    try:
        while not server.started:
            if listening.done():
                raise StartError(f"the listener on {where.getsockname()} did not start; its error stands above")
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(listening, return_exceptions=True)


def bind(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket; StartError names the setting that asked for it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise StartError(f"{setting}: cannot listen on {host}:{port}: {error.strerror}; choose another") from error
    return found
