"""What stands on the outbox is sent, in each chat in order, whatever Feishu, Redis or another node does."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from app.channel.deliver import Delivery
from app.channel.limits import SendLimits
from app.channel.outbox import Outbox
from app.channel.tokens import Tokens
from app.channel.usage import Usage
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.model.outbound import Ledger, Outbound, SendName, target_of
from tests.unit.channel.node import Catalog, Channel
from tests.unit.channel.parts import PlainSeal, bot
from tests.unit.channel.stand_in import Fault, StandIn
from tests.waiting import PATIENCE, until

FREE = SendLimits(chat_per_second=1000, app_per_second=1000, app_per_minute=10_000)


@pytest.fixture
def channel(link: RedisLink, keys: Keys, api: FeishuApi, tokens: Tokens, spec: BotSpec) -> Channel:
    return Channel(link, keys, api, tokens, Catalog(spec), FREE)


def said(feishu: StandIn, chat: str = "oc_1") -> list[str]:
    return [orjson.loads(one.content)["text"] for one in feishu.said if one.target == chat]


async def test_messages_are_sent_in_the_order_of_their_chat(channel: Channel, feishu: StandIn) -> None:
    ids = [await channel.put(number, chat) for number in range(5) for chat in ("oc_1", "oc_2")]
    async with channel.draining() as drainer:
        await until(lambda: channel.is_final(*ids))
        await until(lambda: len(drainer._claims) == 0)  # nothing of what is done is kept in memory

    assert said(feishu) == said(feishu, "oc_2") == ["0", "1", "2", "3", "4"]
    found = await channel.state(ids[0])
    assert (found.state, found.message_id) == ("sent", feishu.said[0].message_id)
    assert await channel.outbox.queue.depth("support") == 0


async def test_one_content_goes_to_many(channel: Channel, feishu: StandIn) -> None:
    targets = [target_of(f"oc_{n}") for n in range(5)]
    assert await channel.outbox.put_many("support", "b", targets, [("text", '{"text":"all"}')]) == "queued"
    assert await channel.outbox.put_many("support", "b", targets, [("text", '{"text":"all"}')]) == "known"
    async with channel.draining():
        await until(lambda: channel.is_final(*(f"b-{n}" for n in range(1, 6))))

    assert sorted(one.target for one in feishu.said) == [f"oc_{n}" for n in range(5)]
    batch = await channel.outbox.queue.batch("support", "b")
    assert batch is not None
    assert (batch.sent, batch.is_final) == (5, True)


@pytest.mark.parametrize("kind", ["lost_after", "html"])
async def test_a_lost_answer_neither_loses_nor_doubles(channel: Channel, feishu: StandIn, kind: str) -> None:
    # More than one call repeats: the message is parked, and sent again under the same uuid.
    feishu.faults.extend([Fault(kind)] * 6)  # type: ignore[arg-type]
    ids = [await channel.put(number) for number in range(2)]
    async with channel.draining():
        await until(lambda: channel.is_final(*ids))

    assert said(feishu) == ["0", "1"]
    assert (await channel.state(ids[0])).state == "sent"


async def test_what_feishu_refuses_fails_with_its_reason_and_holds_nobody_up(channel: Channel, feishu: StandIn) -> None:
    feishu.faults.append(Fault("code", 230002))
    ids = [await channel.put(number) for number in range(2)]
    async with channel.draining():
        await until(lambda: channel.is_final(*ids))

    assert said(feishu) == ["1"]
    first = await channel.state(ids[0])
    assert first.state == "failed"
    assert "230002" in first.reason


async def test_a_limited_chat_is_parked_and_others_go_on(
    link: RedisLink, keys: Keys, api: FeishuApi, tokens: Tokens, spec: BotSpec, feishu: StandIn
) -> None:
    # One message in some three seconds into a chat: a second one does not find its slot while it may wait.
    channel = Channel(link, keys, api, tokens, Catalog(spec), SendLimits(chat_per_second=0.4))
    slow = [await channel.put(number) for number in range(2)]
    many = [await channel.put(0, f"oc_x{n}") for n in range(12)]
    async with channel.draining():
        await until(lambda: channel.is_final(*slow, *many))
    # It stood before all of them but the first.
    assert [one.target for one in feishu.said].index("oc_1", 1) > 3
    # That it was parked meanwhile is no call of which something has come.
    assert channel.sender.exchange.outcomes == {"sent": 14}


async def test_a_long_line_in_one_chat_leaves_the_others_their_turn(
    channel: Channel, feishu: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every slot has a chat in which much waits; the chat that comes last does not wait for all of that."""
    monkeypatch.setattr("app.channel.drain._TURNS_IN_A_ROW", 3)
    ids = [await channel.put(number, f"oc_{n}") for n in range(8) for number in range(12)]
    ids.append(await channel.put(0, "oc_last"))
    async with channel.draining():
        await until(lambda: channel.is_final(*ids))
    assert [one.target for one in feishu.said].index("oc_last") < 60
    assert said(feishu, "oc_0") == [str(number) for number in range(12)]


async def test_a_used_up_quota_loses_no_message(channel: Channel, link: RedisLink, keys: Keys, feishu: StandIn) -> None:
    feishu.faults.append(Fault("code", 99991403))
    ids = [await channel.put(number) for number in range(2)]

    async def wait() -> bool:
        return {(await channel.state(one)).state for one in ids} == {"queued"}

    async with channel.draining():
        await until(lambda: link.commands.exists(keys.quota_stop("default")))
        await until(wait)
    assert await wait()

    await Usage(link, keys, FREE).resume("default")
    await channel.sender.exchange.limiter.quotas.tell()
    async with channel.draining(name="n2"):
        await until(lambda: channel.is_final(*ids))
    assert said(feishu) == ["0", "1"]


@pytest.mark.parametrize("asked", ["token", "message"])
async def test_an_app_that_feishu_does_not_take_loses_no_message(
    channel: Channel, feishu: StandIn, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr("app.channel.drain._LONG_REST", 0.05)
    monkeypatch.setattr("app.channel.drain._ASKED_AGAIN", 0.05)
    feishu.secrets["cli_a"] = "another" if asked == "token" else "secret-a"
    feishu.faults.extend([Fault("code", 99991401)] * 30 if asked == "message" else ())
    ids = [await channel.put(number, f"oc_{n}") for n in range(12) for number in range(2)]
    async with channel.draining():
        await until(lambda: channel.sender.exchange.outcomes["AppRefused"] >= 30)
        if asked == "token":
            assert not any([(await channel.state(one)).is_final for one in ids])
            assert len(feishu.calls("/auth/")) == 1  # a secret that is wrong is not tried by every message
            channel.bots.bots = {"support": bot(feishu.url, secret="another")}
        await until(lambda: channel.is_final(*ids))
    assert [said(feishu, f"oc_{n}") for n in range(12)] == [["0", "1"]] * 12


async def test_messages_for_which_no_slot_is_free_are_not_asked_for_without_a_pause(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots for what goes to many are free; all that waits would need the other ones."""
    mailbox = channel.outbox.queue.mailbox
    taking, giving = mailbox.take, mailbox.give_back
    takes = gifts = 0

    async def take(*args: Any, **more: Any) -> Any:
        nonlocal takes
        takes += 1
        return await taking(*args, **more)

    async def give_back(*bots: str) -> None:
        nonlocal gifts
        gifts += 1
        await giving(*bots)

    async def hangs(*_: Any, **_more: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(mailbox, "take", take)
    monkeypatch.setattr(mailbox, "give_back", give_back)
    monkeypatch.setattr(channel.sender, "send", hangs)
    for number in range(9):
        await channel.put(number, f"oc_{number}")
    async with channel.draining() as drainer:
        await until(lambda: gifts >= 3)
        assert takes <= 2 * gifts + 4
        await drainer.stop(0.01)


async def test_a_removed_bot_keeps_its_messages_until_it_is_back(channel: Channel, feishu: StandIn) -> None:
    bots, channel.bots.bots = channel.bots.bots, {}
    message = await channel.put(1)
    async with channel.draining():
        await asyncio.sleep(0)
        assert (await channel.state(message)).state == "queued"
        channel.bots.bots = bots
        await until(lambda: channel.is_final(message))
    assert said(feishu) == ["1"]


async def test_another_node_goes_on_under_the_same_uuid(
    channel: Channel,
    link: RedisLink,
    keys: Keys,
    api: FeishuApi,
    tokens: Tokens,
    spec: BotSpec,
    feishu: StandIn,
) -> None:
    """The first node dies between Feishu's answer and its record."""
    ids = [await channel.put(number) for number in range(2)]
    [work] = await channel.outbox.queue.mailbox.take("support", "dead:b:out", 8, calls=8)
    record = channel.outbox.queue.record(work)
    letter = await channel.outbox.open(work)

    class Dies(BaseException):
        pass

    async def dies(*_: object) -> None:
        raise Dies

    record.record = dies  # type: ignore[method-assign, assignment]
    delivery = Delivery(channel.outbox, channel.sender, keep_trying=60)
    channel.outbox.queue.record = lambda work: record  # type: ignore[method-assign]
    with pytest.raises(Dies):
        await delivery.one(work, spec, 1.0, False)
    assert said(feishu) == ["0"]
    assert letter.priority == "send"

    other = Channel(link, keys, api, tokens, Catalog(spec), FREE)
    await other.leases.abandon_node("dead", ["support"])
    async with other.draining(name="n2"):
        await until(lambda: other.is_final(*ids))
    assert said(feishu) == ["0", "1"]
    assert (await other.state(ids[0])).message_id == feishu.said[0].message_id


async def test_a_node_that_stops_hands_back_what_it_has_not_sent(
    channel: Channel, feishu: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def hangs(_: BotSpec, message: Outbound, name: SendName, ledger: Ledger, **_patience: Any) -> None:
        await ledger.begin(name)
        asked.set()
        await asyncio.Event().wait()

    ids = [await channel.put(number) for number in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr(channel.sender, "send", hangs)
        async with channel.draining() as drainer:
            await asyncio.wait_for(asked.wait(), PATIENCE)
            await drainer.stop(0.01)
            assert not drainer._tasks
    assert (await channel.state(ids[0])).state == "sending"
    [work] = await channel.outbox.queue.mailbox.take("support", "n2:b:out", 8, calls=8)
    assert (work.entry.event_id, work.deaths) == (ids[0], 0)
    await channel.outbox.queue.mailbox.release(work)

    async with channel.draining(name="n2"):
        await until(lambda: channel.is_final(*ids))
    assert said(feishu) == ["0", "1", "2"]


async def test_an_hour_later_nobody_can_tell_so_it_fails(
    channel: Channel, link: RedisLink, keys: Keys, feishu: StandIn
) -> None:
    message = await channel.put(1)
    await link.commands.hset(keys.msg("support", message), mapping={"state": "sending", "since": 1_600_000_000_000})
    async with channel.draining():
        await until(lambda: channel.is_final(message))

    assert said(feishu) == []
    found = await channel.state(message)
    assert found.state == "failed"
    assert "outcome is not known" in found.reason


async def test_what_cannot_be_opened_fails(channel: Channel, link: RedisLink, keys: Keys, feishu: StandIn) -> None:
    moved = Outbox(channel.outbox.queue, PlainSeal())
    await moved.put_many("support", "b", [target_of("oc_1")], [("text", "{}")])
    await link.commands.hset(keys.batch("support", "b"), "sealed", b"other bytes")
    async with channel.draining():
        await until(lambda: channel.is_final("b-1"))
    assert (await channel.state("b-1")).state == "failed"
    assert feishu.said == []


async def test_bots_have_slots_of_their_own(
    link: RedisLink, keys: Keys, api: FeishuApi, tokens: Tokens, feishu: StandIn
) -> None:
    """A bot whose Feishu does not answer holds up no other."""
    hangs = bot("http://127.0.0.1:9", "hangs", "b")
    channel = Channel(link, keys, api, tokens, Catalog(bot(feishu.url), hangs), FREE)
    for n in range(40):
        await channel.put(n, f"oc_h{n}", "hangs")
    message = await channel.put(1)
    async with channel.draining():
        await until(lambda: channel.is_final(message))
    assert said(feishu) == ["1"]


def test_nothing_shows_what_is_said() -> None:
    assert "secret words" not in repr(Outbound(target_of("oc_1"), "text", "secret words"))
