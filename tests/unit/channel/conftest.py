"""A Feishu of the test's own, and the parts of the channel that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import Limits
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.storage.cache import CacheTiers
from tests.unit.channel.parts import FastClock, PlainSeal, bot, cache_of
from tests.unit.channel.stand_in import StandIn


@pytest.fixture
async def feishu() -> AsyncIterator[StandIn]:
    """A strict Feishu on loopback."""
    stand_in = StandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def api() -> AsyncIterator[FeishuApi]:
    """The transport."""
    async with FeishuApi() as api:
        yield api


@pytest.fixture
def spec(feishu: StandIn) -> BotSpec:
    """A bot of that Feishu."""
    return bot(feishu.url)


@pytest.fixture
def clock() -> FastClock:
    """A clock on which waiting takes no time."""
    return FastClock()


@pytest.fixture
async def tokens(
    api: FeishuApi, link: RedisLink, keys: Keys, clock: FastClock, no_key_without_ttl: None
) -> AsyncIterator[Tokens]:
    """Tokens over the test's Redis."""
    tokens = Tokens(api, link, keys, PlainSeal(), clock=clock)
    yield tokens
    await tokens.close()


@pytest.fixture
def cache(link: RedisLink, keys: Keys) -> CacheTiers:
    """The sender's cache."""
    return cache_of(link, keys)


@pytest.fixture
def sender(api: FeishuApi, tokens: Tokens, link: RedisLink, keys: Keys, clock: FastClock, cache: CacheTiers) -> Sender:
    """A sender whose limits are out of the way."""
    limits = Limits(chat_per_second=1000, app_per_second=1000, app_per_minute=10_000, message_per_second=1000)
    return Sender(api, tokens, Limiter(link, keys, limits, clock=clock), cache, clock=clock)
