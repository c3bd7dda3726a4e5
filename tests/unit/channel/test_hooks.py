"""Custom bots have no idempotency key: what certainly did not arrive is tried again, anything else is not."""

from __future__ import annotations

import random

import pytest

from app.channel.hooks import Hooks
from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.core.errors import FeishuUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from tests.unit.channel.parts import FastClock
from tests.unit.channel.stand_in import Fault, StandIn

SAID = {"msg_type": "text", "content": {"text": "disk full"}}


@pytest.fixture
def hooks(api: FeishuApi, link: RedisLink, keys: Keys, clock: FastClock) -> Hooks:
    limits = SendLimits(hook_per_second=1000, hook_per_minute=100_000)
    return Hooks(api, Limiter(link, keys, limits), clock=clock, chance=random.Random(1))


async def test_who_cannot_be_reached_is_asked_four_times_ever_later(hooks: Hooks, clock: FastClock) -> None:
    with pytest.raises(FeishuUnavailable) as caught:
        await hooks.send("http://127.0.0.1:9/open-apis/bot/v2/hook/x", None, SAID)
    assert not caught.value.sent
    # 0.5, 1 and 2 s, each spread from its half to half as much again.
    assert [0.5 <= slept / wait <= 1.5 for slept, wait in zip(clock.slept, (0.5, 1, 2), strict=True)] == [True] * 3


async def test_where_the_answer_was_lost_nothing_is_repeated(hooks: Hooks, clock: FastClock, feishu: StandIn) -> None:
    feishu.faults.append(Fault("lost_before"))
    with pytest.raises(FeishuUnavailable) as caught:
        await hooks.send(f"{feishu.url}/open-apis/bot/v2/hook/x", None, SAID)
    assert caught.value.sent
    assert (len(feishu.seen), clock.slept) == (1, [])
