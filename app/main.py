"""The node's two listeners: uvicorn servers that the node itself starts and stops."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from app.core.errors import StartError
from app.gateway.bounds import BoundedProtocol


class Listener(uvicorn.Server):
    """One HTTP listener on a bound socket; signals stay the node's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the node drains in its own order."""
        yield


def listener(app: Any, *, protocol: type[BoundedProtocol] = BoundedProtocol) -> Listener:
    """A listener for an ASGI app, as fast as Python has it: uvloop, httptools, no access log.

    `protocol` is httptools' in uvicorn with bounded heads, or a subclass of it.
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
    return Listener(config)


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
