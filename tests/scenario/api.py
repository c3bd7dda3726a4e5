"""The admin API of a node whose channel role runs, over a playground Feishu."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import httpx
import orjson

from app.channel.attach import Attachments
from app.channel.fetch import Fetcher
from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.outbox import Outbox
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.control.admin.accept import Acceptance
from app.control.admin.access import Access, Caller
from app.control.admin.api import admin_app
from app.control.admin.followers import Followers
from app.control.admin.messages import messages_router
from app.control.health.status import Health
from app.control.playground.playground import Playground
from app.control.playground.world import App, Chat
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.queue.outbox import OutboxQueue
from tests.unit.channel.node import Catalog, channel_node
from tests.unit.channel.parts import PlainSeal, bot, cache_of
from tests.unit.control.admin.parts import known_bots
from tests.waiting import until

ADMIN, SUPPORT = "the-admin-token-of-the-test", "a-token-for-support-only"


@dataclass
class Api:
    """Somebody with a token, and what Feishu heard."""

    http: httpx.AsyncClient
    playground: Playground
    app: App
    chat: Chat
    outbox: Outbox

    async def send(self, document: Any, **more: Any) -> httpx.Response:
        return await self.http.post("/api/v1/bots/support/messages", json=document, **more)

    async def ended(self, noun: str, id: str) -> dict[str, Any]:
        """A message or batch, once it is at its end."""
        found: dict[str, Any] = {}

        async def is_final() -> bool:
            found.update((await self.http.get(f"/api/v1/bots/support/{noun}/{id}")).json())
            return found.get("state") in ("sent", "failed", "cancelled") or found.get("waiting") == 0

        await until(is_final)
        return found

    def heard(self, chat: Chat | None = None) -> list[Any]:
        """What the bot said in the chat."""
        messages = self.playground.ledger.messages((chat or self.chat).chat_id)
        return [(one.msg_type, orjson.loads(one.content)) for one in messages]


@asynccontextmanager
async def open_api(link: RedisLink, keys: Keys) -> AsyncIterator[Api]:
    """An API for the bots support and other; a token each for the admin and for support alone."""
    async with Playground() as playground, FeishuApi() as transport:
        playground.limits.enabled = False
        url = await playground.start()
        apps = {name: playground.add_app(f"cli_{name}", f"secret-{name}", name) for name in ("support", "other")}
        bots = Catalog(*(bot(url, name, name, f"secret-{name}") for name in apps))
        chat = playground.group("team", [apps["support"]], [playground.add_user("Ann")])
        limits = SendLimits(chat_per_second=1000, app_per_second=1000, app_per_minute=10_000)
        tokens = Tokens(transport, link, keys, PlainSeal())
        sender = Sender(transport, tokens, Limiter(link, keys, limits), cache_of(link, keys))
        outbox = Outbox(OutboxQueue(link, keys), PlainSeal(), max_waiting=50)
        acceptance = Acceptance(outbox, bots, Attachments(sender, Fetcher([ip_network("127.0.0.1/32")])))
        app = admin_app(
            access=Access(ADMIN, [Caller("program", SUPPORT, frozenset({"support"}))]),
            known=known_bots("support", "other", "nobody"),
            routers=[],
            sending=[messages_router(outbox.queue, acceptance, Followers(10, lambda: False))],
            metrics=_no_metrics,
            health=Health(lambda: "queue", dict),
        )
        async with (
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://hub.test",
                headers={"Authorization": f"Bearer {SUPPORT}"},
            ) as http,
            channel_node(link, keys, outbox, sender, bots),
        ):
            yield Api(http, playground, apps["support"], chat, outbox)
            await tokens.close()


async def _no_metrics() -> tuple[bytes, str]:
    await asyncio.sleep(0)
    return b"", "text/plain"
