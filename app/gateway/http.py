"""uvicorn's HTTP/1.1 with answers written once: head and body leave in one system call and one packet, not in two."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle


class OneWriteProtocol(HttpToolsProtocol):
    """For an app whose header names and values are its own, and which never streams its answers.

    Ordinary requests take the short way; whatever is rare (pipelined, HTTP/1.0, upgrades, `Expect`, the last of a
    connection) goes uvicorn's own.
    """

    def on_headers_complete(self) -> None:
        """The request's head is here: begin to answer it."""
        parser, scope = self.parser, self.scope
        url = httptools.parse_url(self.url)
        if (
            not parser.should_keep_alive()
            or parser.should_upgrade()
            or parser.get_http_version() != "1.1"
            or self.expect_100_continue
            or self.root_path
            or self.limit_concurrency is not None
            or b"%" in url.path
            or not (self.cycle is None or self.cycle.response_complete)
        ):
            return super().on_headers_complete()
        scope["method"] = parser.get_method().decode("ascii")
        scope["raw_path"] = url.path
        scope["path"] = url.path.decode("ascii")
        scope["query_string"] = url.query or b""
        self.cycle = cycle = _Cycle(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            False,
            True,
            self.on_response_complete,
        )
        self._start_asgi_task(cycle, self.app)


class _Cycle(RequestResponseCycle):
    """One request and its answer, whose head waits for the body."""

    _head: Any = None

    async def send(self, message: Any) -> None:
        """Keep the head until the body is here, then write both."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._head = message
            return
        head, self._head = self._head, None
        if head is None:
            return await super().send(message)
        if (
            message.get("more_body")
            or self.scope["method"] == "HEAD"
            or self.access_log
            or self.flow.write_paused
            or self.disconnected
        ):
            await super().send(head)
            return await super().send(message)
        parts = [STATUS_LINE[head["status"]]]
        for name, value in (*self.default_headers, *head["headers"]):
            if name == b"connection":
                self.keep_alive = False
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", message["body"])
        self.transport.write(b"".join(parts))
        self.response_started = self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
