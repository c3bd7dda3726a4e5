"""A Feishu of the test's own, and the parts of the channel that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.control.playground.playground import Playground
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.model.outbound import Outbound, SendName, Sent
from app.storage.cache import CacheTiers
from tests.unit.channel.parts import FastClock, MemoryLedger, PlainSeal, bot, cache_of
from tests.unit.channel.scene import Scene
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
def ledger() -> MemoryLedger:
    """What has been sent, as far as a ledger that is lost with the test knows."""
    return MemoryLedger()


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
    limits = SendLimits(chat_per_second=1000, app_per_second=1000, app_per_minute=10_000, message_per_second=1000)
    return Sender(api, tokens, Limiter(link, keys, limits, clock=clock), cache, clock=clock)


@pytest.fixture
async def scene(api: FeishuApi, link: RedisLink, keys: Keys, no_key_without_ttl: None) -> AsyncIterator[Scene]:
    """A bot of a playground, within its limits; whoever breaks one fails the test."""
    async with Playground() as playground:
        url = await playground.start()
        app = playground.add_app("cli_a", "secret-a", "A", "key", "token")
        chat = playground.p2p_chat(app, playground.add_user("Ann"))
        tokens = Tokens(api, link, keys, PlainSeal())
        limiter = Limiter(link, keys, SendLimits())
        told: list[str] = []

        async def on_sent(_: BotSpec, message: Outbound, __: Sent, ___: SendName) -> None:
            told.append(message.content)

        sender = Sender(api, tokens, limiter, cache_of(link, keys), on_sent=on_sent)
        yield Scene(playground, app, chat, bot(url), sender, MemoryLedger(), told)
        await limiter.close()
        await tokens.close()
        assert not playground.ledger.violations()
