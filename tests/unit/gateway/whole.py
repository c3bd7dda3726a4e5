"""A gateway with a queue in memory, and requests for it as they come over the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from app.gateway.accept import Acceptor
from app.gateway.admission import Admission
from app.gateway.calls import Callbacks
from app.gateway.counts import Counts
from app.gateway.rates import Rates
from app.gateway.refusals import Refusals
from app.gateway.routes import Gateway
from app.gateway.webhook import Webhook
from tests.unit.gateway.kit import (
    Bots,
    Ciphers,
    Request,
    StubQueue,
    bot,
    message,
    sealed_request,
)
from tests.unit.gateway.test_calls import Worker

MAX_BODY = 4000
BOTS = {
    spec.id: spec
    for spec in (
        bot("support"),
        bot("plain", keys=(), allow_plaintext=True),
        bot("inside", security={"allow_ips": ["10.0.0.0/8"]}),
        bot("slow", events_per_second=1),
        bot("full"),
        bot("damaged"),
    )
}


@dataclass
class Place:
    """A gateway with a queue in memory, and what it counted."""

    queue: StubQueue = field(default_factory=StubQueue)
    counts: Counts = field(default_factory=Counts)
    posts: int = 0
    """How many skipped ASGI."""

    def __post_init__(self) -> None:
        self.queue.full, self.queue.refused = {"full"}, {"damaged"}
        admission = Admission(deny=[ip_network("192.0.2.0/24")], rates=Rates(), refusals=Refusals(most=2))
        self.ciphers = Ciphers()
        self.acceptor = Acceptor(self.queue, None, counts=self.counts)
        callbacks = Callbacks(self.acceptor, Worker(None), counts=self.counts)
        webhook = Webhook(admission, self.ciphers, self.acceptor, callbacks, counts=self.counts)
        self.app = Gateway(
            Bots(dict(BOTS)), admission, webhook, lambda path: (200, {}), max_body=MAX_BODY, counts=self.counts
        )
        post = self.app.post

        def counted(*arguments: Any) -> None:
            self.posts += 1
            post(*arguments)

        self.app.post = counted  # type: ignore[method-assign, assignment]

    async def ready(self) -> Place:
        """With data keys at hand, as in a gateway that has had a first event."""
        for name in BOTS:
            await self.ciphers.cipher(name)
        return self


def raw(request: Request, to: str = "support", *more: bytes) -> bytes:
    lines = [f"{name}: {value}".encode() for name, value in request.headers.items()]
    head = b"\r\n".join([f"POST /webhook/{to} HTTP/1.1".encode(), b"Host: hub", b"X-Request-Id: r1", *lines, *more])
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(request.body) + request.body


EVENT = sealed_request(message(event_id="e1", message_id="om_1"))
FORGED = Request({**EVENT.headers, "X-Lark-Signature": "0" * 64}, EVENT.body)
