"""Bounds what connections send before any app sees it: heads of bounded size, in bounded time, in proper HTTP/1.1."""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import Final

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.core.logs import get_logger
from app.core.metrics import UNREAD

# Feishu's heads have 1 KB; proxies accept 8 to 32 KB.
MOST_HEAD: Final = 64 * 1024
# Clients send a head at once; a slower one holds a connection for nothing (s).
HEAD_WITHIN: Final = 10.0
# A refused request costs its sender nothing: a line for each would fill the disk (s).
_LOG_EVERY: Final = 10.0

log = get_logger(__name__)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound to every head; it refuses in the one error form.

    Only a head that is incomplete after the read it began in is counted and timed, so that others cost nothing. The
    bound is 64 KiB beyond that read (a loop reads at most 256 KiB at once).
    """

    in_head = False
    """Whether a head is incomplete; the heads of chunks count, and what follows the last chunk."""
    head_timer: asyncio.TimerHandle | None = None
    """Ends a head that needs more than one read."""
    _head_size = 0
    _in_chunk = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection; while silent it is as idle as one that has had its answer."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # its request is answered like any other: only HTTP is spoken here
        except httptools.HttpParserError:
            self._refuse(400, "bad_request", "this is not HTTP/1.1")
        else:
            if self.in_head:
                self._await_head(len(data))

    def on_message_begin(self) -> None:
        """A request begins."""
        self.in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The request's head is here."""
        self.end_head()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """A chunk's size is here; next comes a part of the body, or trailers, which the parser keeps like a head."""
        self.in_head = self._in_chunk = True

    def on_body(self, body: bytes) -> None:
        """A part of the body, which the app bounds."""
        if self.in_head:
            self.end_head()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The whole request is here."""
        if self.in_head:
            self.end_head()
        super().on_message_complete()

    def end_head(self) -> None:
        """Stop counting and timing."""
        self.in_head = self._in_chunk = False
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        self.end_head()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def _await_head(self, size: int) -> None:
        if self.head_timer is None:
            # How much of this read belongs to the head is unknown: earlier requests may fill most of it.
            self._head_size = 0
            self.head_timer = self.loop.call_later(
                HEAD_WITHIN, self._refuse, 408, "too_slow", "the head came too slowly"
            )
            return
        self._head_size += size
        if self._head_size > MOST_HEAD:
            self._refuse(431, "head_too_large", f"the request's head is larger than {MOST_HEAD} bytes")

    def _refuse(self, status: int, code: str, message: str) -> None:
        # An answer now would be taken for that of an earlier request that has none yet, or for a second one.
        silent = self._in_chunk or not (self.cycle is None or self.cycle.response_complete)
        self.end_head()
        if self.transport.is_closing():
            return
        request = secrets.token_hex(8)
        UNREAD.labels(str(status)).inc()
        _REFUSED.note(self.loop.time(), code, request)
        if not silent:
            body = orjson.dumps({"error": {"code": code, "message": message, "request_id": request}})
            head = (
                b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: %s\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[status] + head % (len(body), request.encode()) + body)
        self.transport.close()


class _Refused:
    """Logs refusals, seldom, and counts those in between."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, int]] = {}

    def note(self, now: float, code: str, request: str) -> None:
        last, before = self._told.get(code, (-math.inf, 0))
        if now - last < _LOG_EVERY:
            self._told[code] = (last, before + 1)
            return
        self._told[code] = (now, 0)
        log.warning("connection refused before its request was read", code=code, request=request, before=before)


_REFUSED: Final = _Refused()
