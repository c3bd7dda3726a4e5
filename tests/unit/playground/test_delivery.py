"""Events reach a hub as Feishu brings them: bounded, redelivered, sometimes twice, to every bot of a group."""

from __future__ import annotations

import asyncio
import socket

import orjson
import pytest

from app.control.playground import ATTACKS, Playground
from app.control.playground.envelope import event_v2
from app.control.playground.wire import Answer
from app.feishu.signature import event_signature
from tests.unit.playground.conftest import Town
from tests.unit.playground.fake_hub import ENCRYPT_KEY, TOKEN, FakeHub
from tests.waiting import until


async def test_an_event_is_encrypted_signed_and_compact(town: Town) -> None:
    said = await town.playground.user_says(town.ann, town.p2p, "你好")
    await said.settled()
    (request,), (document,) = town.hub.requests, town.hub.documents
    assert request.body.startswith(b'{"encrypt":"')
    stamp, nonce = request.headers["x-lark-request-timestamp"], request.headers["x-lark-request-nonce"]
    assert request.headers["x-lark-signature"] == event_signature(stamp, nonce, ENCRYPT_KEY.encode(), request.body)
    assert document["schema"] == "2.0"
    assert document["header"]["token"] == TOKEN
    assert document["header"]["app_id"] == "cli_a"
    message = document["event"]["message"]
    assert (message["message_id"], message["chat_type"], message["content"]) == (
        said.message_id,
        "p2p",
        '{"text":"你好"}',
    )
    assert "mentions" not in message


async def test_every_bot_of_a_group_gets_an_event_of_its_own(town: Town) -> None:
    said = await town.playground.user_says(town.ann, town.group, "deploy with @Tom", [town.app, town.tom, "all"])
    await said.settled()
    first, second = sorted(town.hub.documents, key=lambda d: d["header"]["app_id"])
    assert first["header"]["event_id"] != second["header"]["event_id"]
    assert first["event"]["message"]["message_id"] == second["event"]["message"]["message_id"]
    senders = [d["event"]["sender"]["sender_id"] for d in (first, second)]
    assert senders[0]["open_id"] != senders[1]["open_id"]
    assert senders[0]["union_id"] == senders[1]["union_id"]
    mine = first["event"]["message"]
    assert orjson.loads(mine["content"])["text"] == "@_user_1 @_all deploy with @_user_2"
    assert mine["mentions"][0]["id"]["open_id"] == town.app.open_id
    assert mine["mentions"][0]["mentioned_type"] == "bot"
    assert second["event"]["message"]["mentions"][0]["id"]["open_id"] != town.app.open_id


async def test_who_hears_what(town: Town) -> None:
    town.app.group_messages = "mentions"
    said = await town.playground.user_says(town.ann, town.group, "hello")
    assert [d.app for d in said.deliveries] == [town.other]
    town.other.subscriptions = frozenset({"im.message.recalled_v1"})
    said = await town.playground.user_says(town.ann, town.group, "hello", [town.app])
    assert [d.app for d in said.deliveries] == [town.app]
    town.other.subscriptions, town.other.hears_bots = None, True
    name = town.playground.open_id(town.app, town.other)
    await town.call.say(town.group.chat_id, f'<at user_id="{name}">Other</at> your turn')
    await town.playground.deliveries.settle()
    heard = town.hub.documents[-1]
    assert heard["header"]["app_id"] == "cli_b"
    assert heard["event"]["sender"]["sender_type"] == "bot"
    assert orjson.loads(heard["event"]["message"]["content"])["text"] == "@_user_1 your turn"
    assert heard["event"]["message"]["mentions"][0]["id"]["open_id"] == town.other.open_id


async def test_a_failed_event_comes_again_by_feishus_schedule(town: Town) -> None:
    town.hub.answers = [Answer(500, b""), Answer(302, b""), Answer(204, b""), Answer(503, b"")]
    said = await town.playground.user_says(town.ann, town.p2p, "hi")
    assert len(town.playground.deliveries.open()) == 1
    await said.settled()
    (delivery,) = said.deliveries
    assert [attempt.status for attempt in delivery.attempts] == [500, 302, 204, 503, 200]
    assert town.clock.slept == [0.015, 0.3, 3.6, 21.6], "15 s, 5 min, 1 h, 6 h at a thousand times the speed"
    signatures = {request.headers["x-lark-signature"] for request in town.hub.requests}
    assert len(signatures) == 5
    assert len({d["header"]["event_id"] for d in town.hub.documents}) == 1
    assert delivery.acked


async def test_after_five_attempts_it_is_given_up(town: Town) -> None:
    town.playground.chaos.fresh_signature = False
    town.hub.answers = [Answer(500, b"")] * 5
    said = await town.playground.user_says(town.ann, town.p2p, "hi")
    await said.settled()
    assert said.deliveries[0].state == "failed"
    assert len(town.hub.requests) == 5
    assert len({request.headers["x-lark-signature"] for request in town.hub.requests}) == 1


async def test_an_outage_ends_in_a_burst(town: Town) -> None:
    held = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await held.wait()

    town.clock.sleep = sleep  # type: ignore[method-assign]
    town.app.outage = True
    said = [await town.playground.user_says(town.ann, town.p2p, str(n)) for n in range(20)]
    await until(lambda: all(s.deliveries[0].state == "retrying" for s in said))
    assert town.hub.documents == []
    town.app.outage = False
    held.set()
    await town.playground.deliveries.settle()
    assert len(town.hub.documents) == 20


async def test_an_answer_after_three_seconds_is_too_late_and_a_closed_port_is_no_hub(town: Town) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        town.app.event_url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        said = await town.playground.user_says(town.ann, town.p2p, "hi")
        await said.settled()
    assert {attempt.error for attempt in said.deliveries[0].attempts} == {"connect"}

    async def slow(document: object) -> None:
        await asyncio.Event().wait()

    town.hub.on_event = slow
    late = await town.playground.deliveries.post(f"{town.hub.url}/a", _some_event(town), total=0.05)
    assert (late.status, late.error) == (0, "timeout")


@pytest.mark.parametrize(("name", "same_event"), [("duplicate", True), ("duplicate_fresh_id", False)])
async def test_acknowledged_events_may_come_twice(town: Town, name: str, same_event: bool) -> None:
    setattr(town.playground.chaos, name, 1.0)
    await town.playground.user_says(town.ann, town.p2p, "hi")
    await town.playground.deliveries.settle()
    first, second = town.hub.documents
    assert (first["header"]["event_id"] == second["header"]["event_id"]) is same_event
    assert first["event"] == second["event"]
    assert [d.duplicate for d in town.playground.deliveries.log] == [
        "",
        "same_event" if same_event else "fresh_event",
    ]


async def test_ordered_types_wait_for_the_one_before(town: Town) -> None:
    town.playground.chaos.order = "type"
    town.hub.answers = [Answer(500, b""), Answer(500, b"")]
    for n in range(5):
        await town.playground.user_says(town.ann, town.p2p, str(n))
    await town.playground.deliveries.settle()
    texts = [orjson.loads(d["event"]["message"]["content"])["text"] for d in town.hub.documents]
    assert texts == ["0", "0", "0", "1", "2", "3", "4"]


async def test_other_things_people_do(town: Town) -> None:
    playground = town.playground
    said = await playground.user_says(town.ann, town.p2p, "hi")
    await playground.react(town.ann, said.message, "SMILE")
    await playground.react(town.ann, said.message, "SMILE")
    await playground.recall(said.message)
    await playground.enter(town.ann, town.app)
    await playground.menu(town.ann, town.app, "deploy")
    await playground.remove_bot(town.group, town.app, town.tom)
    await playground.add_bot(town.group, town.app, town.tom)
    await playground.deliver(town.app, "p2p_chat_create", {"chat_id": town.p2p.chat_id}, schema="1.0")
    await playground.deliveries.settle()
    types = sorted(d["event"]["type"] if "uuid" in d else d["header"]["event_type"] for d in town.hub.documents)
    assert types == sorted(
        [
            "im.message.receive_v1",
            "im.message.reaction.created_v1",
            "im.message.reaction.deleted_v1",
            "im.message.recalled_v1",
            "im.chat.access_event.bot_p2p_chat_entered_v1",
            "application.bot.menu_v6",
            "im.chat.member.bot.deleted_v1",
            "im.chat.member.bot.added_v1",
            "p2p_chat_create",
        ]
    )


async def test_the_challenge_must_come_back_unchanged(town: Town) -> None:
    assert await town.playground.challenge(town.app)
    assert "x-lark-signature" not in town.hub.requests[-1].headers
    assert not await town.playground.challenge(town.app, f"{town.url}/open-apis/bot/v3/info")


async def test_an_app_without_key_is_sent_plain_events() -> None:
    hub = FakeHub()
    await hub.start()
    async with Playground() as playground:
        app = playground.add_app("cli_p", "s", "Plain", None, TOKEN, hub.url)
        said = await playground.user_says(
            playground.add_user("Ann"), playground.p2p_chat(app, playground.add_user("B")), "x"
        )
        await said.settled()
    assert orjson.loads(hub.requests[0].body)["header"]["app_id"] == "cli_p"
    assert "x-lark-signature" not in hub.requests[0].headers
    await hub.close()


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_no_attack_is_a_genuine_request(name: str) -> None:
    app = Playground().add_app("cli_a", "s", "A", ENCRYPT_KEY, TOKEN, "http://127.0.0.1:1/")
    document = event_v2(app, "im.message.receive_v1", {"message": {}}, "e1", 1_700_000_000.0)
    request = ATTACKS[name](app, document, 1_700_000_000.0)
    assert request.body
    genuine = request.headers.get("X-Lark-Signature") == event_signature(
        request.headers.get("X-Lark-Request-Timestamp", ""),
        request.headers.get("X-Lark-Request-Nonce", ""),
        ENCRYPT_KEY.encode(),
        request.body,
    )
    assert genuine is (name not in ("bad_signature", "missing_headers", "tampered"))


def _some_event(town: Town):  # type: ignore[no-untyped-def]
    from app.control.playground.envelope import posted

    return posted(town.app, event_v2(town.app, "x", {}, "e", town.clock.now()), town.clock.now())
