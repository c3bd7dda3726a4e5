"""The public listener: POST in, 200 out, the health pages, and nothing else; no framework, since one costs more than
all that happens here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qs

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import RequestRefused, TooLarge, UnknownBot
from app.core.logs import get_logger
from app.gateway.admission import Admission
from app.gateway.counts import Counts
from app.gateway.head import Head
from app.gateway.http import Headers, Reply
from app.gateway.webhook import Outcome, Webhook
from app.model.bot import BotSpec
from app.model.catalog import Catalog

log = get_logger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEALTH_PATHS: Final = frozenset({"/healthz", "/readyz", "/health"})
_WEBHOOK: Final = "/webhook"
_WEBHOOK_OF: Final = "/webhook/"
# Feishu sends body and headers together and gives up after 3 s; a slower sender holds memory for nothing.
_BODY_WITHIN: Final = 1.0
_JSON: Final = (b"content-type", b"application/json")
# Answers that leave a body unread end the connection: the rest would be taken for the next request.
_CLOSE: Final = (b"connection", b"close")


class Health(Protocol):
    """What the health pages say."""

    def __call__(self, path: str) -> tuple[int, Mapping[str, Any]]:
        """Status and body for one of the HEALTH_PATHS."""
        ...


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: Headers
    body: bytes


class Gateway:
    """The application of the public port: `post` for a POST that is here whole, ASGI for everything else.

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
        self._request_prefix = os.urandom(6).hex().encode()
        self._request_number = 0

    def post(self, bot: str, headers: Headers, body: bytes, peer: str, reply: Reply) -> None:
        """Answer `POST /webhook/BOT`, at once or later: what nearly all requests take, without a task for each."""
        head = self._enter(headers, peer)

        def tell(outcome: Outcome) -> None:
            reply(*self._answer(bot, head, outcome))

        try:
            spec = self._admit(bot, head)
            self._bound(len(body))
        except RequestRefused as error:
            return tell(error)
        self._webhook.begin(spec, head, body, tell)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (or the server's start and stop messages)."""
        if scope["type"] != "http":
            return await _not_http(scope, receive, send)
        client = scope.get("client")
        head = self._enter(scope["headers"], client[0] if client else "")
        path: str = scope["path"]
        if path.startswith(_WEBHOOK_OF):
            bot = path[len(_WEBHOOK_OF) :]
        elif path == _WEBHOOK:
            bot = _bot_in_query(scope["query_string"])
        else:
            return await _respond(send, self._page(path, scope["method"], head))
        if scope["method"] != "POST":
            return await _respond(send, _refusal(head, 405, "method_not_allowed", "use POST", [(b"allow", b"POST")]))
        outcome = await self._outcome(bot, head, receive)
        if not isinstance(outcome, _Gone):
            await _respond(send, self._answer(bot, head, outcome))

    def _enter(self, headers: Headers, peer: str) -> Head:
        head = Head(headers, peer, self._clock.monotonic())
        self._counts.requests += 1
        if not head.id:
            self._request_number += 1
            head.id = b"%s%08x" % (self._request_prefix, self._request_number)
        return head

    def _admit(self, bot: str, head: Head) -> BotSpec:
        """The bot, if the request's address may post to it; all that is checked before the body is read."""
        spec = self._catalog.bots.get(bot)
        if spec is None:
            raise UnknownBot("no bot of that name is configured")
        self._admission.check_address(spec, head.peer, head.forwarded)
        return spec

    async def _outcome(self, bot: str, head: Head, receive: Receive) -> Outcome:
        """Like `post`, with a body that comes in its own time."""
        try:
            spec = self._admit(bot, head)
            body = await self._body(head, receive)
        except Exception as error:
            return error
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def tell(outcome: Outcome) -> None:
            if not told.done():  # the server may have stopped waiting
                told.set_result(outcome)

        self._webhook.begin(spec, head, body, tell)
        return await told

    async def _body(self, head: Head, receive: Receive) -> bytes:
        self._bound(head.length)
        body = bytearray()
        try:
            async with asyncio.timeout(head.started + _BODY_WITHIN - self._clock.monotonic()):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Gone
                    body += message.get("body", b"")
                    self._bound(len(body))
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise _TooSlow from None

    def _bound(self, size: int) -> None:
        if size > self._max_body:
            raise TooLarge(f"the body is larger than {self._max_body} bytes")

    def _answer(self, bot: str, head: Head, outcome: Outcome) -> Answer:
        """Translate what became of a POST into its answer."""
        if isinstance(outcome, bytes):
            return _json(head, 200, outcome)
        if bot not in self._catalog.bots:
            bot = ""  # an unconfigured id is a caller's text, which must not get into logs and counts
        if isinstance(outcome, RequestRefused):
            self._counts.refused[bot, outcome.code, getattr(outcome, "check", "")] += 1
            return _refusal(head, outcome.status, outcome.code, str(outcome), _more_headers(outcome))
        if isinstance(outcome, _TooSlow):
            self._counts.refused[bot, "too_slow", ""] += 1
            return _refusal(head, 408, "too_slow", "the body came too slowly", [_CLOSE])
        # A fault of the hub must not reach the caller as a stack trace; Feishu sends the event again.
        log.error("request failed", bot=bot, request=head.id.decode(), exc_info=outcome)
        return _refusal(head, 500, "internal", "the hub failed; see its log", [])

    def _page(self, path: str, method: str, head: Head) -> Answer:
        if path not in HEALTH_PATHS:
            return _refusal(head, 404, "not_found", "there is nothing here", [])
        if method not in ("GET", "HEAD"):
            return _refusal(head, 405, "method_not_allowed", "use GET", [(b"allow", b"GET, HEAD")])
        status, content = self._health(path)
        return _json(head, status, orjson.dumps(content))


class _TooSlow(Exception):
    """The body did not come in time."""


class _Gone(Exception):
    """The client hung up; nobody reads an answer."""


def _bot_in_query(query: bytes) -> str:
    """`bot_id` of the query string; empty, and so unknown, if it is missing or there twice."""
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


def _refusal(head: Head, status: int, code: str, message: str, more: Headers) -> Answer:
    error = {"code": code, "message": message, "request_id": head.id.decode()}
    answer = _json(head, status, orjson.dumps({"error": error}))
    answer.headers.extend(more)
    return answer


def _json(head: Head, status: int, body: bytes) -> Answer:
    return Answer(status, [_JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", head.id)], body)


async def _respond(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


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
