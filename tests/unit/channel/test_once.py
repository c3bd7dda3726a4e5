"""A message is said once, whatever is lost, repeated, withdrawn or refused on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.core.errors import (
    FeishuRefused,
    FeishuUnavailable,
    Fenced,
    OutcomeUnknown,
    StoreUnavailable,
    TargetGone,
)
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.model.outbound import Begun, Outbound, SendName, Sent, Target
from tests.unit.channel.parts import FastClock, MemoryLedger, bot, cache_of, name, text
from tests.unit.channel.stand_in import Fault, FaultKind, StandIn
from tests.waiting import until

REPLY = Outbound(Target("reply", "om_asked", "oc_1"), "text", '{"text":"hi"}')


async def test_a_send_has_feishus_form(sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger) -> None:
    assert await sender.send(spec, text(), name(), ledger) == Sent("om_1", "oc_real")
    (seen,) = feishu.calls("/messages")
    assert (seen.method, seen.path) == ("POST", "/open-apis/im/v1/messages")
    assert seen.query == {"receive_id_type": "chat_id"}
    assert seen.json == {
        "receive_id": "oc_1",
        "msg_type": "text",
        "content": '{"text":"hi"}',
        "uuid": name().uuid,
    }
    assert ledger.sent == {name().field: "om_1"}


async def test_a_reply_has_feishus_form(sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger) -> None:
    await sender.send(spec, REPLY, name(), ledger)
    in_thread = replace(REPLY, target=replace(REPLY.target, in_thread=True))
    await sender.send(spec, in_thread, name(2), ledger)
    plain, threaded = feishu.calls("/reply")
    assert plain.path == "/open-apis/im/v1/messages/om_asked/reply"
    assert plain.query == {}
    assert plain.json == {"msg_type": "text", "content": '{"text":"hi"}', "uuid": name().uuid}
    assert threaded.json["reply_in_thread"] is True


@pytest.mark.parametrize("mode", ["original", "error"])
@pytest.mark.parametrize("message", [text(), REPLY], ids=["create", "reply"])
@pytest.mark.parametrize(
    "faults",
    [
        ["lost_before"],
        ["lost_after"],
        ["half"],
        ["html"],
        ["empty"],
        ["lost_before", "lost_after", "html", "half"],
    ],
    ids="+".join,
)
async def test_whatever_is_lost_it_is_said_once(
    sender: Sender,
    feishu: StandIn,
    spec: BotSpec,
    ledger: MemoryLedger,
    faults: list[FaultKind],
    message: Outbound,
    mode: str,
) -> None:
    feishu.repeated = "error" if mode == "error" else "original"
    feishu.faults.extend(Fault(kind) for kind in faults)
    sent = await sender.send(spec, message, name(), ledger)
    assert len(feishu.said) == 1
    taken_twice = mode == "error" and {"lost_after", "half"} & set(faults)
    assert (sent.message_id, sent.repeated) == (("", True) if taken_twice else ("om_1", False))
    # Whoever handles the event again, in this process or another, does not say it again.
    feishu.seen.clear()
    again = await sender.send(spec, replace(message, content='{"text":"other words"}'), name(), ledger)
    assert again == Sent(sent.message_id, "oc_1", repeated=True)
    assert feishu.seen == []


@pytest.mark.parametrize("mode", ["original", "error"])
async def test_killed_between_send_and_record_it_is_said_once(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, mode: str
) -> None:
    feishu.repeated = "error" if mode == "error" else "original"
    await sender.send(spec, text(), name(), None)
    ledger.begun[name().field] = ledger.now
    sent = await sender.send(spec, text(words="other words"), name(), ledger)
    assert [said.content for said in feishu.said] == ['{"text":"hi"}']
    assert ledger.sent[name().field] == sent.message_id == ("om_1" if mode == "original" else "")


async def test_is_being_sent_is_waited_for(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    feishu.faults += [Fault("code", code=230049), Fault("code", code=18121)]
    assert (await sender.send(spec, text(), name(), ledger)).message_id == "om_1"


async def test_is_being_sent_just_before_the_deadline_is_not_taken_for_sent(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, clock: FastClock
) -> None:
    feishu.faults.append(Fault("code", code=230049))
    with pytest.raises(FeishuUnavailable):
        await sender.send(spec, text(), name(), ledger, deadline=clock.now() + 0.2)
    assert name().field in ledger.begun
    assert (await sender.send(spec, text(), name(), ledger)).message_id == "om_1"


async def test_two_names_are_two_messages(sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger) -> None:
    await sender.send(spec, text(), name(1), ledger)
    await sender.send(spec, text(), name(2), ledger)
    assert [said.uuid for said in feishu.said] == [name(1).uuid, name(2).uuid]


async def test_an_outage_keeps_the_name_for_a_later_attempt(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    feishu.faults += [Fault("lost_after"), *[Fault("html")] * 4]
    with pytest.raises(FeishuUnavailable):
        await sender.send(spec, text(), name(), ledger)
    assert ledger.forgotten == []
    assert (await sender.send(spec, text(), name(), ledger)).message_id == "om_1"
    assert len(feishu.said) == 1


async def test_an_unknown_outcome_older_than_feishus_memory_is_not_repeated(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, clock: FastClock
) -> None:
    ledger.begun[name().field] = clock.now() - 3601
    with pytest.raises(OutcomeUnknown):
        await sender.send(spec, text(), name(), ledger)
    ledger.begun[name().field] = clock.now() - 3000
    assert (await sender.send(spec, text(), name(), ledger)).message_id == "om_1"
    assert len(feishu.said) == 1


async def test_waiting_may_carry_an_unknown_outcome_out_of_feishus_memory(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, clock: FastClock
) -> None:
    await sender.send(spec, text(), name(2), None)
    feishu.said.clear()
    ledger.begun[name().field] = clock.now() - 3299.8
    feishu.faults.append(Fault("code", code=99991400, status=429, headers={"x-ogw-ratelimit-reset": "0.4"}))
    with pytest.raises(OutcomeUnknown):
        await sender.send(spec, text(), name(), ledger)
    assert feishu.said == []


@pytest.mark.parametrize("code", [230011, 231003, 230110])
async def test_a_reply_to_a_withdrawn_message_goes_to_its_chat(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, code: int
) -> None:
    feishu.faults.append(Fault("code", code=code))
    assert (await sender.send(spec, REPLY, name(), ledger)).message_id == "om_1"
    (said,) = feishu.said
    assert (said.target, said.uuid) == ("oc_1", name().uuid)
    assert ledger.sent == {name().field: "om_1"}


async def test_a_reply_that_arrived_before_the_withdrawal_is_not_said_again(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    feishu.faults += [Fault("lost_after"), Fault("code", code=230011)]
    assert (await sender.send(spec, REPLY, name(), ledger)).message_id == "om_1"
    assert len(feishu.said) == 1


async def test_the_fallback_is_tried_once(sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger) -> None:
    feishu.faults += [Fault("code", code=230011), Fault("code", code=232009)]
    with pytest.raises(TargetGone):
        await sender.send(spec, REPLY, name(), ledger)
    assert len(feishu.calls("/messages")) == 2
    assert ledger.forgotten == [name().field]


@pytest.mark.parametrize("message", [replace(REPLY, target=Target("reply", "om_asked")), text()], ids=["reply", "chat"])
async def test_without_another_chat_there_is_no_fallback(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger, message: Outbound
) -> None:
    feishu.faults.append(Fault("code", code=230011))
    with pytest.raises(TargetGone):
        await sender.send(spec, message, name(), ledger)
    assert len(feishu.calls("/messages")) == 1


async def test_a_refusal_is_forgotten_and_may_be_tried_at_any_time(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    feishu.faults.append(Fault("code", code=230002))
    with pytest.raises(FeishuRefused, match="add it to the group"):
        await sender.send(spec, text(), name(), ledger)
    assert ledger.forgotten == [name().field]
    assert sender.exchange.codes[230002] == 1


async def test_a_refusal_after_a_lost_answer_is_not_forgotten(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    feishu.faults += [Fault("lost_after"), Fault("code", code=230002)]
    with pytest.raises(FeishuRefused):
        await sender.send(spec, text(), name(), ledger)
    assert ledger.forgotten == []


async def test_a_feishu_that_cannot_be_reached_was_not_sent_to(sender: Sender, ledger: MemoryLedger) -> None:
    with pytest.raises(FeishuUnavailable):
        await sender.send(bot("http://127.0.0.1:1"), text(), name(), ledger)
    assert ledger.forgotten == [name().field]


async def test_a_record_that_fails_does_not_unsay(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    ledger.away = True
    assert (await sender.send(spec, text(), name(), ledger)).message_id == "om_1"


class _Away(MemoryLedger):
    async def begin(self, name: SendName) -> Begun:
        raise StoreUnavailable("away")


async def test_nothing_is_sent_that_could_not_be_begun(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    with pytest.raises(StoreUnavailable):
        await sender.send(spec, text(), name(), _Away())
    assert feishu.seen == []


async def test_a_lost_claim_is_told_and_the_message_archived(
    api: FeishuApi, tokens: Tokens, link: RedisLink, keys: Keys, spec: BotSpec, ledger: MemoryLedger
) -> None:
    told: list[tuple[str, str, str]] = []

    async def on_sent(spec: BotSpec, message: Outbound, sent: Sent, name: SendName) -> None:
        told.append((spec.id, message.target.kind, sent.message_id))
        raise StoreUnavailable("the archive does not matter here")

    sender = Sender(api, tokens, Limiter(link, keys, SendLimits()), cache_of(link, keys), on_sent=on_sent)
    await sender.send(spec, text(), name(1), ledger)
    ledger.lost = True
    with pytest.raises(Fenced):
        await sender.send(spec, text(), name(2), ledger)
    assert told == [("support", "chat_id", "om_1"), ("support", "chat_id", "om_2")]


async def test_a_cancelled_send_keeps_its_name(
    sender: Sender, feishu: StandIn, spec: BotSpec, ledger: MemoryLedger
) -> None:
    task = asyncio.create_task(sender.send(spec, text(), name(), ledger))
    await until(lambda: feishu.calls("/messages"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await sender.send(spec, text(), name(), ledger)).message_id == "om_1"
    assert len(feishu.said) == 1
