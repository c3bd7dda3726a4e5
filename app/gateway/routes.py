"""The public listener: POST in, 200 out, the health pages, and nothing else; plain ASGI, since a framework costs more
than all that happens here."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import RequestRefused, TooLarge, UnknownBot
from app.core.logs import get_logger
from app.gateway.admission import Admission
from app.gateway.counts import Counts
from app.gateway.deadlines import Deadlines
from app.gateway.verify import Signed
from app.gateway.webhook import Webhook
from app.model.catalog import Catalog

log = get_logger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

HEALTH_PATHS: Final = frozenset({"/healthz", "/readyz", "/health"})
_WEBHOOK: Final = "/webhook"
_WEBHOOK_OF: Final = "/webhook/"
# Feishu sends body and headers together and gives up after 3 s; who is slower than this holds memory for nothing.
_BODY_WITHIN: Final = 1.0
_JSON: Final = (b"content-type", b"application/json")
# Answers that leave a body unread end the connection: its rest would be taken for the next request.
_CLOSE: Final = (b"connection", b"close")

_TIMESTAMP: Final = b"x-lark-request-timestamp"
_NONCE: Final = b"x-lark-request-nonce"
_SIGNATURE: Final = b"x-lark-signature"
_REQUEST_ID: Final = b"x-request-id"
_LENGTH: Final = b"content-length"
_FORWARDED: Final = b"x-forwarded-for"
_WANTED: Final = frozenset({_TIMESTAMP, _NONCE, _SIGNATURE, _REQUEST_ID, _LENGTH, _FORWARDED})
_FIT_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_UNSIGNED: Final = Signed(None, None, None)


class Health(Protocol):
    """What the health pages say."""

    def __call__(self, path: str) -> tuple[int, Mapping[str, Any]]:
        """Status and body for one of HEALTH_PATHS."""
        ...


class _Head:
    """What the gateway wants of a request's headers, found in one pass."""

    __slots__ = ("_doubled", "_found", "forwarded")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        found: dict[bytes, bytes] = {}
        self._found = found
        self._doubled = False
        self.forwarded: tuple[bytes, ...] = ()
        for name, value in headers:
            # ASGI servers give names in lower case.
            if name not in _WANTED:
                continue
            if name == _FORWARDED:
                self.forwarded += (value,)
            elif name not in found:
                found[name] = value
            elif name != _REQUEST_ID:
                self._doubled = True

    @property
    def request_id(self) -> bytes | None:
        """The name a proxy gave the request, if it is fit to be repeated."""
        given = self._found.get(_REQUEST_ID)
        return None if given is None or _FIT_REQUEST_ID.fullmatch(given) is None else given

    @property
    def length(self) -> int:
        """How long the body says it is, in bytes; 0 where it does not say."""
        given = self._found.get(_LENGTH, b"")
        return int(given[:20]) if given.isdigit() else 0

    def signed(self) -> Signed:
        """The signature headers; of two of a kind neither counts, since others may have read the other."""
        if self._doubled:
            return _UNSIGNED
        found = self._found
        return Signed(found.get(_TIMESTAMP) or None, found.get(_NONCE) or None, found.get(_SIGNATURE) or None)


class Gateway:
    """The ASGI application of the public port.

    `proxy_headers` of the server stays off: who the client is, the admission rules decide.
    """

    def __init__(
        self,
        catalog: Catalog,
        admission: Admission,
        webhook: Webhook,
        health: Health,
        *,
        max_body: int = 1024 * 1024,
        counts: Counts | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._catalog = catalog
        self._admission = admission
        self._webhook = webhook
        self._health = health
        self._max_body = max_body
        self._counts = counts or Counts()
        self._clock = clock
        self._slow: Deadlines[asyncio.Task[Any]] = Deadlines(clock, _cancel)
        self._request_prefix = os.urandom(6).hex().encode()
        self._request_number = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (or the server's start and stop messages)."""
        if scope["type"] != "http":
            return await _not_http(scope, receive, send)
        started = self._clock.monotonic()
        self._counts.requests += 1
        head = _Head(scope["headers"])
        request_id = head.request_id
        if request_id is None:
            self._request_number += 1
            request_id = b"%s%08x" % (self._request_prefix, self._request_number)
        path: str = scope["path"]
        if path.startswith(_WEBHOOK_OF):
            bot = path[len(_WEBHOOK_OF) :]
        elif path == _WEBHOOK:
            bot = _bot_in_query(scope["query_string"])
        else:
            return await self._page(path, scope["method"], request_id, send)
        if scope["method"] != "POST":
            return await _refuse(send, request_id, 405, "method_not_allowed", "use POST", [(b"allow", b"POST")])
        try:
            answer = await self._post(bot, scope, head, receive, started, request_id)
        except RequestRefused as error:
            self._counts.refused[self._known(bot), error.code, getattr(error, "check", "")] += 1
            return await _refuse(send, request_id, error.status, error.code, str(error), _more_headers(error))
        except _TooSlow:
            self._counts.refused[self._known(bot), "too_slow", ""] += 1
            return await _refuse(send, request_id, 408, "too_slow", "the body came too slowly", [_CLOSE])
        except _Gone:
            return None
        except Exception:
            # A fault of the hub must not end as a stack trace at the caller's; Feishu sends the event again.
            log.exception("request failed", bot=self._known(bot), request=request_id.decode())
            return await _refuse(send, request_id, 500, "internal", "the hub failed; see its log", [])
        await _respond(send, request_id, 200, answer)

    async def _post(
        self, bot: str, scope: Scope, head: _Head, receive: Receive, started: float, request_id: bytes
    ) -> bytes:
        spec = self._catalog.bots.get(bot)
        if spec is None:
            raise UnknownBot("no bot of that name is configured")
        client = scope.get("client")
        peer = client[0] if client else ""
        self._admission.check_address(spec, peer, head.forwarded)
        body = await self._body(head, receive, started)
        source = self._admission.source(peer, head.forwarded)
        return await self._webhook.answer(spec, head.signed(), body, source, started, request_id)

    async def _body(self, head: _Head, receive: Receive, started: float) -> bytes:
        if head.length > self._max_body:
            raise self._too_large()
        if self._loop is None:
            # Asked once: before Python 3.12 each answer costs a system call.
            self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._slow.add(task, started + _BODY_WITHIN)
        try:
            message = await receive()
            if not message.get("more_body") and message["type"] == "http.request":
                body: bytes = message.get("body", b"")
                if len(body) > self._max_body:
                    raise self._too_large()
                return body
            return await self._rest_of_body(message, receive)
        except asyncio.CancelledError:
            if self._slow.remove(task):
                raise  # somebody else's wish: the server stops
            task.uncancel()
            raise _TooSlow from None
        finally:
            self._slow.remove(task)

    async def _rest_of_body(self, message: Message, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] != "http.request":
                raise _Gone
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > self._max_body:
                raise self._too_large()
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._max_body} bytes")

    def _known(self, bot: str) -> str:
        """The bot's id for logs and counts; what is not configured is a caller's text and never gets there."""
        return bot if bot in self._catalog.bots else ""

    async def _page(self, path: str, method: str, request_id: bytes, send: Send) -> None:
        if path not in HEALTH_PATHS:
            return await _refuse(send, request_id, 404, "not_found", "there is nothing here", [])
        if method not in ("GET", "HEAD"):
            allow = [(b"allow", b"GET, HEAD")]
            return await _refuse(send, request_id, 405, "method_not_allowed", "use GET", allow)
        status, content = self._health(path)
        await _respond(send, request_id, status, orjson.dumps(content))


class _TooSlow(Exception):
    """The body did not come in time."""


class _Gone(Exception):
    """The client hung up; nobody reads an answer."""


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


def _bot_in_query(query: bytes) -> str:
    """`bot_id` of the query string; empty, and so unknown, where it is missing or there twice."""
    try:
        names = parse_qs(query.decode("ascii"), max_num_fields=20).get("bot_id", [])
    except ValueError:
        return ""
    return names[0] if len(names) == 1 else ""


def _more_headers(error: RequestRefused) -> Headers:
    headers: Headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    if isinstance(error, TooLarge):
        headers.append(_CLOSE)
    return headers


async def _refuse(send: Send, request_id: bytes, status: int, code: str, message: str, more: Headers) -> None:
    error = {"code": code, "message": message, "request_id": request_id.decode()}
    await _respond(send, request_id, status, orjson.dumps({"error": error}), more)


async def _respond(send: Send, request_id: bytes, status: int, body: bytes, more: Headers | None = None) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)]
    if more:
        headers += more
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    while True:
        message = await receive()
        if message["type"] not in ("lifespan.startup", "lifespan.shutdown"):
            return
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
