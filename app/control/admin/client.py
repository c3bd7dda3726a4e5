"""Tells the admin's pages who asks, where a trusted proxy asks for them: login and audit go by that address."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from app.gateway.proxies import Network, Proxies


class BehindProxies:
    """An ASGI app in front of another, which finds the client's own address in its scope."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app = app
        self._source = Proxies(trusted).source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            peer, port = scope.get("client") or ("", 0)
            forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
            scope = {**scope, "client": (self._source(peer, forwarded), port)}
        await self._app(scope, receive, send)
