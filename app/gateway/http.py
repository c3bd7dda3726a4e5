"""HTTP/1.1 for the public port: POSTs that arrive whole skip ASGI, uvicorn does the rest; an answer is one write."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from app.gateway.bounds import BoundedProtocol

Headers: TypeAlias = list[tuple[bytes, bytes]]
Reply = Callable[[int, Headers, bytes], None]
"""Called once, with status, headers and body of an answer."""

# Paths with nothing to decode; every bot's id has this form.
_BOT: Final = re.compile(rb"/webhook/([a-z0-9][a-z0-9_-]{0,63})")
_NOBODY_WAITS: Final = asyncio.Event()


class TakePost(Protocol):
    """The app's way to take whole POSTs."""

    def __call__(self, bot: str, headers: Headers, body: bytes, peer: str, reply: Reply) -> None:
        """Call `reply`, now or later."""
        ...


class OneWriteProtocol(BoundedProtocol):
    """For an app that makes its own header names and values, and never streams answers.

    An ordinary POST whose body comes with its head goes to the app's `post`, if it has one: no task, no scope, no
    messages. Other ordinary requests go by ASGI, each answer in one write. Rare ones (pipelined, HTTP/1.0,
    upgrades, `Expect`, the last of a connection) go uvicorn's own way.
    """

    _arriving: _Post | None = None
    """A POST whose head is here, while the rest of the same read is parsed."""
    _idle_since = math.inf
    """When the last answer was written (loop time), if nothing came after it."""
    _idle_timer: asyncio.TimerHandle | None = None
    """Set again if something came meanwhile: a timer for each answer costs more than the answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.take_post: TakePost | None = getattr(self.app, "post", None)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._idle_since = math.inf
        super().data_received(data)
        if self._arriving is not None:
            post, self._arriving = self._arriving, None
            self._start_cycle(post.body)

    def on_message_begin(self) -> None:
        """A request begins; a scope is made only if it goes by ASGI."""
        self.in_head = True
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """The request's head is here: begin to answer it."""
        self.in_head = False
        if self.head_timer is not None:
            self.end_head()
        parser = self.parser
        if self.transport.is_closing():
            return None  # the last answer was also the connection's last
        if (
            not parser.should_keep_alive()
            or parser.should_upgrade()
            or parser.get_http_version() != "1.1"
            or self.expect_100_continue
            or self.root_path
            or self.limit_concurrency is not None
            or not (self.cycle is None or self.cycle.response_complete)
        ):
            self._make_scope()
            return super().on_headers_complete()
        if self.take_post is not None and parser.get_method() == b"POST" and not self.flow.write_paused:
            bot = _BOT.fullmatch(self.url)
            if bot is not None:
                self._arriving = post = _Post(self, bot[1].decode())
                self.cycle = post  # type: ignore[assignment]
                return None
        self._start_cycle(bytearray())

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        post = self._arriving
        if post is None or self.in_head:
            return super().on_body(body)
        # No upgrade, no answer yet, and nobody waits: uvicorn's version checks each of these.
        post.body += body

    def on_message_complete(self) -> None:
        """The whole request is here."""
        post = self._arriving
        if post is None or self.take_post is None:
            return super().on_message_complete()
        self._arriving = None
        if self.in_head:
            self.end_head()
        peer = self.client[0] if self.client else ""
        self.take_post(post.bot, self.headers, bytes(post.body), peer, post.reply)

    def on_response_complete(self) -> None:
        """An answer is written: the connection is idle, unless the next request waits already."""
        if self.pipeline or self.transport.is_closing():
            return super().on_response_complete()
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._end_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def _end_if_idle(self) -> None:
        self._idle_timer = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.timeout_keep_alive_handler()
        elif left < math.inf:
            self._idle_timer = self.loop.call_later(left, self._end_if_idle)

    def _make_scope(self) -> None:
        url, expects, headers = self.url, self.expect_100_continue, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.expect_100_continue = url, expects
        self.headers += headers

    def _start_cycle(self, body: bytearray) -> None:
        self._make_scope()
        url = httptools.parse_url(self.url)
        if b"%" in url.path:
            return super().on_headers_complete()
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
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
        cycle.body = body
        self._start_asgi_task(cycle, self.app)


class _Post:
    """A POST given to the app, in place of a cycle: has what uvicorn asks of a cycle under way."""

    __slots__ = ("_protocol", "body", "bot", "disconnected", "keep_alive", "response_complete")
    message_event = _NOBODY_WAITS
    more_body = False

    def __init__(self, protocol: OneWriteProtocol, bot: str) -> None:
        self._protocol = protocol
        self.bot = bot
        self.body = bytearray()
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Write the answer, unless the client has gone."""
        if self.disconnected:
            return
        protocol = self._protocol
        self.response_complete = True
        packet, keep_alive = _packet(status, protocol.server_state.default_headers + headers, body, self.keep_alive)
        protocol.transport.write(packet)
        if not keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


class _Cycle(RequestResponseCycle):
    """One request and its answer, whose head is kept until the body is here."""

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
        headers = self.default_headers + head["headers"]
        packet, self.keep_alive = _packet(head["status"], headers, message["body"], self.keep_alive)
        self.transport.write(packet)
        self.response_started = self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _packet(status: int, headers: Headers, body: bytes, keep_alive: bool) -> tuple[bytes, bool]:
    """The answer's bytes, and whether the connection stays open after it."""
    parts = [STATUS_LINE[status]]
    closes = False
    for name, value in headers:
        if name == b"connection":
            closes = True
        parts += (name, b": ", value, b"\r\n")
    if not keep_alive and not closes:
        parts.append(b"connection: close\r\n")
    parts += (b"\r\n", body)
    return b"".join(parts), keep_alive and not closes
