"""Messages that need a scope which the app lacks wait until it is granted; all others go on."""

from __future__ import annotations

from typing import Any

import pytest

from app.channel.deliver import Delivery
from app.channel.tokens import Tokens
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.model.outbound import Outbound, target_of
from tests.unit.channel.node import Catalog, Channel
from tests.unit.channel.stand_in import Fault, Seen, StandIn, refusal
from tests.unit.channel.test_drain import FREE
from tests.waiting import until


@pytest.fixture
def channel(link: RedisLink, keys: Keys, api: FeishuApi, tokens: Tokens, spec: BotSpec) -> Channel:
    return Channel(link, keys, api, tokens, Catalog(spec), FREE)


async def test_a_missing_scope_holds_up_only_what_needs_it(
    channel: Channel, feishu: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.channel.deliver._ASKED_AGAIN", 0.5)
    granted = False

    def answer(seen: Seen) -> Any:
        if granted or seen.json["msg_type"] != "image":
            return feishu._message(seen, seen.json["receive_id"])
        return refusal(99991672, "Access denied. One of the following scopes is required: [im:resource, im:message].")

    feishu.answers["POST /open-apis/im/v1/messages"] = answer
    image = Outbound(target_of("oc_1"), "image", '{"image_key":"img_1"}')
    assert await channel.outbox.put("support", "first", image) == "queued"
    behind = await channel.put(1)
    async with channel.draining():
        await until(lambda: len(feishu.seen) > 1)  # its token, and the message
        others = [await channel.put(number, f"oc_{chat}") for chat in (2, 3) for number in range(10)]
        await until(lambda: channel.is_final(*others))

        async def is_told() -> bool:
            first = await channel.state("first")
            return first.state == "queued" and "the scope im:resource or im:message: grant it" in first.reason

        await until(is_told)
        assert (await channel.state(behind)).state == "queued", "it does not overtake"
        granted = True
        await until(lambda: channel.is_final("first", behind))
    assert [one.content for one in feishu.said if one.target == "oc_1"] == [image.content, '{"text":"1"}']
    found = await channel.state("first")
    assert (found.state, found.reason) == ("sent", "")


async def test_what_lacks_a_scope_is_asked_for_by_one_message(
    channel: Channel, feishu: StandIn, spec: BotSpec, link: RedisLink, keys: Keys
) -> None:
    feishu.faults.append(Fault("code", 99991672))
    delivery = Delivery(channel.outbox, channel.sender, keep_trying=0.0)
    for chat in range(3):
        await channel.put(0, f"oc_{chat}")
    for work in await channel.outbox.queue.mailbox.take("support", "n1:b:out", 8, calls=8):
        assert await delivery.one(work, spec, 1.0, True) is None
    assert len(feishu.calls("/im/v1/messages")) == 1
    assert await link.commands.zcard(keys.outbox().bot("support", "delayed")) == 3
    tries: Any = await link.commands.hgetall(keys.outbox().bot("support", "tries"))
    assert {int(count) for count in tries.values()} == {0}, "that they waited counts for none of their tries"
