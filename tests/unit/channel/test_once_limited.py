"""What Feishu limits is said later and once, in order."""

from __future__ import annotations

import asyncio

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.core.errors import (
    FeishuLimited,
    SlotTimeout,
)
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.model.outbound import Outbound, Target
from tests.unit.channel.parts import FastClock, MemoryLedger, cache_of, name, text
from tests.unit.channel.stand_in import Fault, StandIn


@pytest.mark.parametrize("status", [200, 400])
async def test_a_token_that_is_no_longer_good_is_replaced_once(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, status: int
) -> None:
    await sender.send(spec, text(), name(1), ledger)
    feishu.good.clear()
    assert (await sender.send(spec, text(), name(2), ledger)).message_id == "om_2"
    assert feishu.issued == 2
    feishu.faults += [Fault("code", code=99991663, status=status)] * 2
    with pytest.raises(Exception, match="access token"):
        await sender.send(spec, text(), name(3), ledger)
    assert feishu.issued == 3


async def test_a_limit_is_waited_out(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, clock: FastClock
) -> None:
    told: list[float] = []
    feishu.faults += [
        Fault("code", code=99991400, status=429, headers={"x-ogw-ratelimit-reset": "0.3"}),
        Fault("code", code=230020),
    ]
    began = clock.monotonic()
    sent = await sender.send(spec, text(), name(), ledger, on_wait=told.append)
    assert sent.message_id == "om_1"
    assert clock.monotonic() - began >= 0.8
    # On a machine that stood still for longer than the first pause, there is only the second to tell of.
    assert len(told) < 2 or 0 < told[0] <= 0.34
    assert sender.exchange.codes == {99991400: 1, 230020: 1}


async def test_a_used_up_quota_is_not_tried_again(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    feishu.faults.append(Fault("code", code=99991403))
    with pytest.raises(FeishuLimited) as caught:
        await sender.send(spec, text(), name(), ledger)
    assert not caught.value.retryable
    assert len(feishu.calls("/messages")) == 1


async def test_a_limit_that_never_ends_ends_the_send(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    feishu.faults.extend([Fault("code", code=230020, headers={"x-ogw-ratelimit-reset": "0.1"})] * 50)
    with pytest.raises(FeishuLimited):
        await sender.send(spec, text(), name(), ledger)
    assert ledger.forgotten == [name().field]


async def test_a_limit_past_the_deadline_is_not_waited_for(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, clock: FastClock
) -> None:
    feishu.faults.append(Fault("code", code=99991400, status=429, headers={"x-ogw-ratelimit-reset": "52"}))
    with pytest.raises(SlotTimeout):
        await sender.send(spec, text(), name(), ledger, deadline=clock.now() + 10)
    assert ledger.forgotten == [name().field]


async def test_sends_that_wait_in_a_chat_arrive_in_order(
    api: FeishuApi, tokens: Tokens, link: RedisLink, keys: Keys, spec: BotSpec, feishu: StandIn
) -> None:
    limits = SendLimits(second=0.05, chat_per_second=1)
    sender = Sender(api, tokens, Limiter(link, keys, limits), cache_of(link, keys))
    await tokens.token(spec)
    await asyncio.gather(*(sender.send(spec, text(words=str(n)), name(n), None) for n in range(12)))
    assert [said.content for said in feishu.said] == [f'{{"text":"{n}"}}' for n in range(12)]


async def test_a_persons_chat_is_learned_so_that_both_share_one_limit(
    api: FeishuApi, tokens: Tokens, sender: Sender, feishu: StandIn, spec: BotSpec, link: RedisLink, keys: Keys
) -> None:
    person = Outbound(Target("open_id", "ou_1"), "text", '{"text":"hi"}')
    other = Sender(api, tokens, Limiter(link, keys, SendLimits()), cache_of(link, keys))
    for n, (one, said) in enumerate([(sender, person), (sender, person), (sender, text("oc_real")), (other, person)]):
        await one.send(spec, said, name(n), None)
    assert await link.commands.zcard(keys.limit_user("ou_1")) == 1
    assert await link.commands.zcard(keys.limit_chat("oc_real")) == 3
