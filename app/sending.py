"""Builds a process's way out to Feishu."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.channel.limiter import Limiter
from app.channel.limits import Quota, SendLimits
from app.channel.sender import Sender
from app.channel.sent_log import SentLog
from app.channel.tokens import Tokens
from app.core.settings import Settings
from app.feishu.client import FeishuApi
from app.redis_stores import RedisStores


@asynccontextmanager
async def open_sender(stores: RedisStores) -> AsyncIterator[Sender]:
    """A process's way out to Feishu; what it sends goes into the log, for the store."""
    async with AsyncExitStack() as closing:
        api = await closing.enter_async_context(FeishuApi())
        tokens = Tokens(api, stores.link, stores.keys, stores.keyring)
        closing.push_async_callback(tokens.close)
        limiter = Limiter(
            stores.link, stores.keys, limits_of(stores.settings), memory=stores.settings.data_dir / "senders"
        )
        closing.push_async_callback(limiter.close)
        await closing.enter_async_context(stores.cache.running())
        telling = asyncio.create_task(limiter.run(), name="limits")
        closing.push_async_callback(asyncio.wait, (telling,))
        closing.callback(telling.cancel)
        sent_log = SentLog(stores.log, stores.keyring)
        yield Sender(api, tokens, limiter, stores.cache, on_sent=sent_log, on_change=sent_log.changed)


def limits_of(settings: Settings) -> SendLimits:
    """The hub's bounds on sends, as the limiter takes them."""
    bounds = settings.limits
    return SendLimits(
        **bounds.model_dump(exclude={"quota", "apis"}),
        apis=bounds.apis,
        quotas={name: Quota(group.bots, group.per_month) for name, group in bounds.quota.items()},
    )
