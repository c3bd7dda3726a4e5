"""Tokens: one fetch an app, shared and sealed, renewed in time, dropped when Feishu says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.channel.tokens import _DROP, Tokens
from app.core.errors import FeishuLimited, FeishuRefused, FeishuUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from tests.unit.channel.parts import FastClock, PlainSeal, bot
from tests.unit.channel.stand_in import Fault, StandIn
from tests.waiting import until


@pytest.fixture
async def other(api: FeishuApi, link: RedisLink, keys: Keys, clock: FastClock, tokens: Tokens) -> AsyncIterator[Tokens]:
    """The tokens of another node."""
    other = Tokens(api, link, keys, PlainSeal(), clock=clock)
    yield other
    await other.close()


async def test_a_hundred_callers_cost_one_fetch(tokens: Tokens, feishu: StandIn, spec: BotSpec) -> None:
    got = await asyncio.gather(*(tokens.token(spec) for _ in range(100)))
    assert set(got) == {"t-1"}
    assert len(feishu.seen) == 1
    assert feishu.seen[0].json == {"app_id": "cli_a", "app_secret": "secret-a"}


async def test_who_asked_first_may_be_cancelled(tokens: Tokens, spec: BotSpec) -> None:
    first = asyncio.create_task(tokens.token(spec))
    second = asyncio.create_task(tokens.token(spec))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "t-1"


async def test_apps_and_domains_have_their_own(tokens: Tokens, feishu: StandIn, spec: BotSpec) -> None:
    lark = StandIn()
    await lark.start()
    lark.issued = 100
    assert await tokens.token(spec) == "t-1"
    assert await tokens.token(bot(feishu.url, "hr", "b")) == "t-2"
    assert await tokens.token(bot(lark.url)) == "t-101"
    await lark.stop()


async def test_another_node_shares_it_and_it_is_sealed(
    tokens: Tokens, other: Tokens, link: RedisLink, keys: Keys, spec: BotSpec, feishu: StandIn
) -> None:
    token = await tokens.token(spec)
    assert await other.token(spec) == token
    assert feishu.issued == 1
    kept = await link.commands.get(keys.token("cli_a", feishu.url))
    assert kept is not None
    assert token.encode() not in kept
    assert 7190 < await link.commands.ttl(keys.token("cli_a", feishu.url)) <= 7200


async def test_nodes_that_start_together_fetch_once(
    tokens: Tokens, other: Tokens, spec: BotSpec, feishu: StandIn
) -> None:
    assert len(set(await asyncio.gather(tokens.token(spec), other.token(spec)))) == 1
    assert feishu.issued == 1


async def test_a_changed_secret_has_to_prove_itself(tokens: Tokens, feishu: StandIn, spec: BotSpec) -> None:
    await tokens.token(spec)
    with pytest.raises(FeishuRefused, match=r"credentials\.yaml"):
        await tokens.token(bot(feishu.url, secret="wrong"))


async def test_a_token_that_was_moved_in_redis_is_not_used(
    tokens: Tokens, feishu: StandIn, spec: BotSpec, link: RedisLink, keys: Keys
) -> None:
    """Whoever can write there cannot give an app the token of another, nor of another domain."""
    await tokens.token(spec)
    kept = await link.commands.get(keys.token("cli_a", feishu.url))
    assert kept is not None
    elsewhere = feishu.url.replace("127.0.0.1", "localhost")
    feishu.secrets["cli_b"] = feishu.secrets["cli_a"]
    for app, domain in (("b", feishu.url), ("a", elsewhere)):
        await link.commands.set(keys.token(f"cli_{app}", domain), kept, ex=60)
        assert await tokens.token(bot(domain, app=app, secret="secret-a")) != "t-1"


async def test_below_half_an_hour_it_is_renewed_behind_the_scenes(
    tokens: Tokens, feishu: StandIn, spec: BotSpec, clock: FastClock
) -> None:
    await tokens.token(spec)
    clock.jumped += 7200 - 1801
    assert await tokens.token(spec) == "t-1"
    assert feishu.issued == 1
    clock.jumped += 10
    assert await tokens.token(spec) == "t-1"
    await until(lambda: feishu.issued == 2)

    async def renewed() -> bool:
        return await tokens.token(spec) == "t-2"

    await until(renewed)
    assert feishu.issued == 2


async def test_a_renewal_by_another_node_is_taken_over(
    tokens: Tokens, other: Tokens, feishu: StandIn, spec: BotSpec, clock: FastClock
) -> None:
    await asyncio.gather(tokens.token(spec), other.token(spec))
    clock.jumped += 7200 - 1790

    async def renewed(by: Tokens) -> bool:
        return await by.token(spec) == "t-2"

    await until(lambda: renewed(tokens))
    await until(lambda: renewed(other))
    assert feishu.issued == 2


async def test_a_failed_renewal_leaves_the_old_one_at_work(
    tokens: Tokens, feishu: StandIn, spec: BotSpec, clock: FastClock
) -> None:
    await tokens.token(spec)
    feishu.token_faults.append(Fault("html"))
    clock.jumped += 7200 - 1790
    for _ in range(5):
        assert await tokens.token(spec) == "t-1"
    await until(lambda: not tokens._flights)
    assert len(feishu.seen) == 2


async def test_short_lives_do_not_mean_a_fetch_a_call(
    tokens: Tokens, feishu: StandIn, spec: BotSpec, clock: FastClock
) -> None:
    feishu.expire = 600
    for _ in range(20):
        await tokens.token(spec)
    assert feishu.issued == 1
    clock.jumped += 301
    await tokens.token(spec)
    await until(lambda: feishu.issued == 2)


async def test_an_old_token_is_not_given_out(tokens: Tokens, spec: BotSpec, clock: FastClock) -> None:
    await tokens.token(spec)
    clock.jumped += 7180
    assert await tokens.token(spec) == "t-2"


async def test_a_dropped_token_is_fetched_anew_by_every_node(
    tokens: Tokens, other: Tokens, feishu: StandIn, spec: BotSpec
) -> None:
    await asyncio.gather(tokens.token(spec), other.token(spec))
    await tokens.drop(spec, "t-1")
    assert await tokens.token(spec) == "t-2"
    # The other node comes late with the old one: the new one stays.
    await other.drop(spec, "t-1")
    assert await other.token(spec) == "t-2"
    assert await tokens.token(spec) == "t-2"
    assert feishu.issued == 2


async def test_wrong_credentials_are_remembered_for_a_minute(tokens: Tokens, feishu: StandIn, clock: FastClock) -> None:
    wrong = bot(feishu.url, secret="wrong")
    for _ in range(3):
        with pytest.raises(FeishuRefused) as caught:
            await tokens.token(wrong)
        assert not caught.value.retryable
        assert "wrong" not in str(caught.value)
    assert len(feishu.seen) == 1
    assert await tokens.token(bot(feishu.url)) == "t-1"
    clock.jumped += 61
    with pytest.raises(FeishuRefused):
        await tokens.token(wrong)
    assert len(feishu.seen) == 3


async def test_a_broken_answer_is_not_remembered(tokens: Tokens, feishu: StandIn, spec: BotSpec) -> None:
    feishu.token_faults += [
        Fault("html"),
        Fault("code", code=0, status=200),
        Fault("code", code=99991400, status=429),
    ]
    for kind in (FeishuUnavailable, FeishuUnavailable, FeishuLimited):
        with pytest.raises(kind):
            await tokens.token(spec)
    assert await tokens.token(spec) == "t-1"


async def test_without_redis_memory_does(api: FeishuApi, keys: Keys, feishu: StandIn, spec: BotSpec) -> None:
    nowhere = await connect("unix:///nonexistent/redis.sock")
    tokens = Tokens(api, nowhere, keys, PlainSeal())
    assert await tokens.token(spec) == await tokens.token(spec) == "t-1"
    await tokens.drop(spec, "t-1")
    assert await tokens.token(spec) == "t-2"
    await tokens.drop(spec, "t-1")
    assert await tokens.token(spec) == "t-2"
    await tokens.close()
    await nowhere.close()


async def test_what_another_node_shared_meanwhile_is_not_dropped(link: RedisLink, keys: Keys) -> None:
    place = keys.token("cli_a", "x")
    await link.commands.set(place, b"new", ex=60)
    assert await _DROP(link.commands, [place], [b"old"]) == 0
    assert await _DROP(link.commands, [place], [b"new"]) == 1


async def test_an_app_token_is_another(tokens: Tokens, feishu: StandIn, spec: BotSpec) -> None:
    assert await tokens.token(spec) != await tokens.token(spec, "app")
    assert feishu.seen[1].path.endswith("/app_access_token/internal")


async def test_nothing_prints_a_secret(tokens: Tokens, spec: BotSpec) -> None:
    await tokens.token(spec)
    shown = repr(tokens._held)
    assert "t-1" not in shown
    assert "secret" not in shown
