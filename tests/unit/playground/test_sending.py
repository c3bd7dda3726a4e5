"""Sends are refused, limited and deduplicated as strictly as Feishu does."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson
import pytest

from tests.unit.playground.conftest import Town

CARD = {
    "schema": "2.0",
    "config": {"update_multi": True},
    "body": {"elements": [{"tag": "markdown", "content": "hi"}]},
}


def post(paragraph: str) -> dict[str, str]:
    return {"msg_type": "post", "content": f'{{"zh_cn":{{"content":[[{paragraph}]]}}}}'}


def card(document: dict[str, Any]) -> str:
    return orjson.dumps(document).decode()


async def test_a_text_is_taken_and_given_back(town: Town) -> None:
    status, answer = await town.call.say(town.p2p.chat_id, "hello")
    assert (status, answer["code"]) == (200, 0)
    data = answer["data"]
    assert data["chat_id"] == town.p2p.chat_id
    assert data["sender"] == {
        "id": "cli_a",
        "id_type": "app_id",
        "sender_type": "app",
        "tenant_key": data["sender"]["tenant_key"],
    }
    assert town.call.headers["x-tt-logid"]
    assert town.call.headers["content-type"] == "application/json; charset=utf-8"
    _, read = await town.call("GET", f"im/v1/messages/{data['message_id']}")
    assert read["data"]["items"][0]["body"]["content"] == '{"text":"hello"}'
    assert town.playground.ledger.texts(town.p2p.chat_id) == ['{"text":"hello"}']


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"content": {"text": "an object"}}, 230001),
        ({"content": "not json"}, 230001),
        ({"content": '{"text":""}'}, 230001),
        ({"content": '{"text":"' + "x" * 150 * 1024 + '"}'}, 230025),
        (post('{"tag":"text","text":"' + "x" * 30 * 1024 + '"}'), 230025),
        ({"msg_type": "unheard"}, 230001),
        ({"msg_type": "post", "content": "{}"}, 230001),
        (post('{"tag":"md","text":"a"},{"tag":"text","text":"b"}'), 230001),
        ({"msg_type": "image", "content": '{"image_key":"img_unknown"}'}, 230001),
        ({"msg_type": "interactive", "content": '{"schema":"2.0","body":{"elements":[{"tag":"note"}]}}'}, 230099),
        ({"msg_type": "interactive", "content": '{"schema":"2.0"}'}, 230099),
        ({"msg_type": "interactive", "content": '{"type":"template","data":{"template_id":"AAq1"}}'}, 230099),
        ({"msg_type": "interactive", "content": '{"type":"card","data":{"card_id":"7371"}}'}, 230099),
        ({"uuid": "u" * 51}, 230001),
        ({"receive_id": "oc_unknown"}, 230034),
        ({"receive_id": ""}, 230001),
    ],
)  # fmt: skip
async def test_what_feishu_would_refuse_is_refused(town: Town, change: dict[str, Any], code: int) -> None:
    good = {"receive_id": town.p2p.chat_id, "msg_type": "text", "content": '{"text":"hi"}'}
    status, answer = await town.call("POST", "im/v1/messages", good | change, receive_id_type="chat_id")
    assert (status, answer["code"]) == (400, code)
    assert answer["error"]["log_id"] == town.call.headers["x-tt-logid"]
    assert town.playground.ledger.messages() == []


async def test_receivers_are_checked_by_their_type(town: Town) -> None:
    mine, foreign = town.playground.open_id(town.app, town.ann), town.playground.open_id(town.other, town.ann)
    good = {"msg_type": "text", "content": '{"text":"hi"}'}

    async def code(kind: str, name: str) -> int:
        answer = await town.call("POST", "im/v1/messages", good | {"receive_id": name}, receive_id_type=kind)
        return int(answer[1]["code"])

    assert await code("open_id", mine) == 0
    assert await code("open_id", foreign) == 99992361
    assert await code("user_id", town.ann.user_id) == 0
    assert await code("union_id", town.ann.union_id) == 0
    assert await code("email", "nobody@example.test") == 230034
    assert await code("nonsense", mine) == 230001
    assert {m.chat.chat_id for m in town.playground.ledger.messages()} == {town.p2p.chat_id}
    town.ann.resigned = True
    assert await code("open_id", mine) == 230013


async def test_a_bot_outside_a_group_cannot_speak_there(town: Town) -> None:
    town.group.apps.remove(town.app)
    assert (await town.call.say(town.group.chat_id, "hi"))[1]["code"] == 230002


async def test_a_lost_answer_was_sent_and_a_reset_was_not(town: Town) -> None:
    for kind, sent in (("lost", 1), ("half", 2), ("reset", 2)):
        town.playground.faults.add(kind)  # type: ignore[arg-type]
        with pytest.raises(aiohttp.ClientError):
            await town.call.say(town.p2p.chat_id, kind)
        assert len(town.playground.ledger.messages()) == sent
    assert [call.outcome for call in town.playground.ledger.calls] == ["lost", "half", "reset"]


async def test_gateway_pages_and_dead_tokens(town: Town) -> None:
    town.playground.faults.add("html", api="im.*")
    async with town.call.session.get(f"{town.url}/open-apis/im/v1/chats") as response:
        assert (response.status, response.content_type) == (500, "text/html")
    town.playground.faults.add("token")
    assert (await town.call.say(town.p2p.chat_id, "hi"))[1]["code"] == 99991663
    assert (await town.call.say(town.p2p.chat_id, "hi"))[1]["code"] == 99991663, "the token stays dead"
    town.playground.faults.add("code", probability=0.5, app="cli_b")
    codes = [await town.call_other.code("GET", "bot/v3/info") for _ in range(40)]
    assert 5 < codes.count(1500) < 35


async def test_replies_and_recalls(town: Town) -> None:
    said = await town.playground.user_says(town.ann, town.group, "hi")
    body = {"msg_type": "text", "content": '{"text":"yes"}', "reply_in_thread": True}
    _, answer = await town.call("POST", f"im/v1/messages/{said.message_id}/reply", body)
    assert answer["data"]["parent_id"] == said.message_id
    assert answer["data"]["thread_id"] == said.message.thread
    await town.playground.recall(said.message)
    status, refused = await town.call("POST", f"im/v1/messages/{said.message_id}/reply", body)
    assert (status, refused["code"]) == (400, 230011)
    mine = answer["data"]["message_id"]
    assert await town.call_other.code("DELETE", f"im/v1/messages/{mine}") == 230027
    assert await town.call.code("DELETE", f"im/v1/messages/{mine}") == 0
    assert (await town.call("PUT", f"im/v1/messages/{mine}", {"msg_type": "text", "content": '{"text":"x"}'}))[1][
        "code"
    ] == 230011
    (turn,) = [turn for turn in town.playground.ledger.turns() if turn.app_id == "cli_a"]
    assert (turn.reply_id, turn.seconds) == (mine, 0.0)


async def test_texts_can_be_edited_twenty_times(town: Town) -> None:
    _, answer = await town.call.say(town.p2p.chat_id, "0")
    path = f"im/v1/messages/{answer['data']['message_id']}"
    for n in range(20):
        assert (await town.call("PUT", path, {"msg_type": "text", "content": f'{{"text":"{n}"}}'}))[1]["code"] == 0
    assert (await town.call("PUT", path, {"msg_type": "text", "content": '{"text":"x"}'}))[1]["code"] == 230072
    assert await town.call.code("PATCH", path, {"content": card(CARD)}) == 230054


async def test_cards_are_patched_five_times_a_second_for_a_fortnight(town: Town) -> None:
    body = {"receive_id": town.p2p.chat_id, "msg_type": "interactive", "content": card(CARD)}
    _, answer = await town.call("POST", "im/v1/messages", body, receive_id_type="chat_id")
    path = f"im/v1/messages/{answer['data']['message_id']}"
    for _ in range(5):
        assert await town.call.code("PATCH", path, {"content": card(CARD)}) == 0
    assert await town.call.code("PATCH", path, {"content": card(CARD)}) == 230020
    town.clock.time += 1
    alone = {"config": {"update_multi": False}, "elements": []}
    assert await town.call.code("PATCH", path, {"content": card(alone)}) == 230001
    town.clock.time += 14 * 86400
    town.call.token = town.playground.tokens.issue(town.app, "t-")[0]
    assert await town.call.code("PATCH", path, {"content": card(CARD)}) == 230031


async def test_pages_of_a_chat(town: Town) -> None:
    town.playground.limits.enabled = False
    for n in range(25):
        await town.call.say(town.p2p.chat_id, str(n))
    seen: list[str] = []
    token = ""
    while True:
        _, page = await town.call(
            "GET", "im/v1/messages", container_id_type="chat", container_id=town.p2p.chat_id, page_token=token
        )
        seen += [orjson.loads(item["body"]["content"])["text"] for item in page["data"]["items"]]
        if not page["data"]["has_more"]:
            break
        token = page["data"]["page_token"]
    assert seen == [str(n) for n in range(25)]
    bad = await town.call(
        "GET", "im/v1/messages", container_id_type="chat", container_id=town.p2p.chat_id, page_size="51"
    )
    assert bad[1]["code"] == 230001


async def test_the_smaller_calls(town: Town) -> None:
    _, info = await town.call("GET", f"im/v1/chats/{town.group.chat_id}")
    assert (info["data"]["chat_mode"], info["data"]["name"], info["data"]["bot_count"]) == (
        "group",
        "Team",
        "2",
    )
    assert await town.call_other.code("GET", f"im/v1/chats/{town.p2p.chat_id}") == 232011
    assert (await town.call("GET", "event/v1/outbound_ip", page_size="1"))[1]["data"]["has_more"] is True
    assert await town.call.code("GET", "event/v1/outbound_ip", page_size="51") == 1810001
    assert (await town.call("POST", "im/v2/url_previews/batch_update", {"preview_tokens": ["pt_1"]}))[1]["code"] == 0
    assert (await town.call("POST", "im/v2/url_previews/batch_update", {"preview_tokens": ["pt_1"]}))[1][
        "code"
    ] == 230020
    ephemeral = {
        "chat_id": town.group.chat_id,
        "open_id": town.playground.open_id(town.app, town.ann),
        "msg_type": "interactive",
        "card": CARD,
    }
    _, answer = await town.call("POST", "ephemeral/v1/send", ephemeral)
    assert town.playground.world.messages[answer["data"]["message_id"]].only_for is town.ann
    assert (await town.call("POST", "ephemeral/v1/send", ephemeral | {"chat_id": town.p2p.chat_id}))[1][
        "code"
    ] == 230054
    assert await town.call("GET", "no/such/api") == (
        404,
        {"code": 99991000, "msg": "404 page not found", "error": {"log_id": town.call.headers["x-tt-logid"]}},
    )


async def test_custom_bots(town: Town) -> None:
    from app.feishu.signature import hook_sign

    hook = town.playground.add_hook(town.group, secret="demo-secret")
    stamp = str(int(town.clock.now()))
    good = {
        "timestamp": stamp,
        "sign": hook_sign(stamp, "demo-secret"),
        "msg_type": "text",
        "content": {"text": "hi"},
    }
    path = f"bot/v2/hook/{hook.token}"
    assert (await town.call("POST", path, good))[1]["StatusMessage"] == "success"
    assert await town.call("POST", path, good | {"sign": "x"}) == (
        200,
        {
            "code": 19021,
            "msg": "sign match fail or timestamp is not within one hour from current time",
            "error": {"log_id": town.call.headers["x-tt-logid"]},
        },
    )
    town.clock.time += 3601
    assert await town.call.code("POST", path, good) == 19021
    assert await town.call.code("POST", "bot/v2/hook/unknown", good) == 19001
    free = f"bot/v2/hook/{town.playground.add_hook(town.group).token}"
    codes = [await town.call.code("POST", free, good) for _ in range(6)]
    assert codes == [0, 0, 0, 0, 0, 11232]
