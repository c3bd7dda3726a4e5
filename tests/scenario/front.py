"""A gateway on a real queue, and a way to post to it as Feishu would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.core.ending import ended
from app.core.keys import Keys
from app.core.outage import guard
from app.core.redis import RedisLink
from app.gateway.accept import Acceptor
from app.gateway.admission import Admission
from app.gateway.calls import Callbacks
from app.gateway.counts import Counts
from app.gateway.drain import SpoolDrainer
from app.gateway.routes import Gateway
from app.gateway.spool import Spool
from app.gateway.webhook import Webhook
from app.queue.calls import Calls
from app.queue.envelope import Entry
from app.queue.mailbox import Mailbox
from tests.unit.gateway.kit import (
    Bots,
    Ciphers,
    Request,
    bot,
)

ADDRESS = "192.0.2.1"


class Front:
    """A gateway on a real queue, and a way to post to it as Feishu would."""

    def __init__(self, link: RedisLink, keys: Keys, spool: Spool | None, admission: Admission) -> None:
        self.link, self.keys, self.spool = link, keys, spool
        self.bots = Bots({spec.id: spec for spec in (bot("support"), bot("other"))})
        self.ciphers = Ciphers()
        self.counts = Counts()
        self.mailbox = Mailbox(link, keys)
        self.calls = Calls(link, keys)
        self.acceptor = Acceptor(self.mailbox, spool, counts=self.counts)
        callbacks = Callbacks(self.acceptor, self.calls, counts=self.counts)
        webhook = Webhook(admission, self.ciphers, self.acceptor, callbacks, counts=self.counts)
        self.app = Gateway(self.bots, admission, webhook, lambda path: (200, {}), counts=self.counts)
        self.http = self.client(ADDRESS)

    def client(self, address: str) -> httpx.AsyncClient:
        """Somebody who posts from `address`."""
        transport = httpx.ASGITransport(self.app, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://hub.test")

    async def post(
        self, request: Request, to: str = "support", *, client: httpx.AsyncClient | None = None
    ) -> httpx.Response:
        return await (client or self.http).post(f"/webhook/{to}", content=request.body, headers=request.headers)

    async def kept(self, bot: str = "support") -> list[Entry]:
        """What lies in the bot's log."""
        rows: Any = await self.link.commands.xrange(self.keys.bot(bot, "log"))
        return [Entry.unpacked(fields[b"e"], fields[b"s"]) for _, fields in rows]

    async def kept_ids(self, bot: str = "support") -> list[str]:
        return [entry.event_id for entry in await self.kept(bot)]

    async def probe(self) -> None:
        with guard():
            await self.link.commands.set(self.keys.probe, b"1", ex=10)


@asynccontextmanager
async def open_front(
    link: RedisLink, keys: Keys, spool: Spool | None, admission: Admission | None = None
) -> AsyncIterator[Front]:
    if spool is not None:
        await spool.open()
    front = Front(link, keys, spool, admission or Admission())
    drainer = SpoolDrainer(front.acceptor, front.mailbox, spool, front.probe)
    tasks = [asyncio.create_task(drainer.run()), asyncio.create_task(front.calls.listen())]
    yield front
    await front.acceptor.close()
    for task in tasks:
        await ended(task)
    if spool is not None:
        await spool.close()


def refusal(response: httpx.Response) -> tuple[int, dict[str, str]]:
    """Status and error, the request id checked and taken out."""
    error = dict(response.json()["error"])
    assert error.pop("request_id") == response.headers["x-request-id"]
    return response.status_code, error
