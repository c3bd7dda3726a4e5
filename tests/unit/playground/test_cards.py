"""Card actions, their answers, delayed updates, and reactions."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from app.control.playground import Message
from app.control.playground.wire import Answer
from tests.unit.playground.conftest import Town

CARD: dict[str, Any] = {
    "schema": "2.0",
    "config": {"update_multi": True},
    "body": {
        "elements": [
            {"tag": "markdown", "content": "approve?", "element_id": "text"},
            {
                "tag": "button",
                "text": {"tag": "plain_text", "content": "Yes"},
                "behaviors": [{"type": "callback", "value": {"cmd": "yes"}}],
            },
            {
                "tag": "button",
                "name": "raw",
                "text": {"tag": "plain_text", "content": "No"},
                "value": "a string",
            },
            {
                "tag": "form",
                "name": "f",
                "elements": [
                    {"tag": "input", "name": "reason"},
                    {
                        "tag": "button",
                        "name": "send",
                        "form_action_type": "submit",
                        "text": {"tag": "plain_text", "content": "Send"},
                    },
                ],
            },
        ]
    },
}
OTHER = {"schema": "2.0", "body": {"elements": [{"tag": "markdown", "content": "done"}]}}


async def sent(town: Town, card: dict[str, Any] = CARD) -> Message:
    body = {"receive_id": town.p2p.chat_id, "msg_type": "interactive", "content": orjson.dumps(card).decode()}
    _, answer = await town.call("POST", "im/v1/messages", body, receive_id_type="chat_id")
    return town.playground.world.messages[answer["data"]["message_id"]]


async def test_a_click_is_a_signed_callback_and_its_answer_changes_the_card(town: Town) -> None:
    message = await sent(town)
    town.hub.answers = [
        Answer(
            200,
            orjson.dumps({"toast": {"type": "success", "content": "done"}, "card": {"type": "raw", "data": OTHER}}),
        )
    ]
    clicked = await town.playground.click(town.ann, message.message_id, "Yes")
    assert (clicked.code, clicked.toast, clicked.card_changed) == (
        0,
        {"type": "success", "content": "done"},
        True,
    )
    event = town.hub.documents[-1]
    assert event["header"]["event_type"] == "card.action.trigger"
    assert len(event["header"]["create_time"]) == 16, "microseconds"
    assert event["event"]["action"]["value"] == {"cmd": "yes"}
    assert event["event"]["operator"]["open_id"] == town.playground.open_id(town.app, town.ann)
    assert event["event"]["context"] == {
        "open_message_id": message.message_id,
        "open_chat_id": town.p2p.chat_id,
    }
    assert orjson.loads(message.content) == OTHER


async def test_forms_and_string_values(town: Town) -> None:
    message = await sent(town)
    await town.playground.click(town.ann, message.message_id, "send", {"reason": "ok"})
    assert town.hub.documents[-1]["event"]["action"] == {
        "tag": "button",
        "timezone": "Asia/Shanghai",
        "name": "send",
        "form_value": {"reason": "ok"},
    }
    await town.playground.click(town.ann, message.message_id, "raw")
    assert town.hub.documents[-1]["event"]["action"]["value"] == "a string"
    with pytest.raises(LookupError):
        await town.playground.click(town.ann, message.message_id, "nothing of that name")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(200, b"{}"), 0),
        (Answer(200, b""), 200672),
        (Answer(200, b"[]"), 200672),
        (Answer(200, b'{"msg":"success"}'), 200672),
        (Answer(200, b'{"toast":{"type":"loud","content":"x"}}'), 200672),
        (Answer(200, b'{"card":{"type":"raw","data":{"schema":"2.0"}}}'), 200673),
        (Answer(200, b'{"card":{"type":"raw"}}'), 200673),
        (Answer(200, b'{"card":{"type":"raw","data":{"elements":[]}}}'), 200830),
        (Answer(500, b"{}"), 200671),
        (Answer(302, b"{}", headers={"Location": "/elsewhere"}), 200671),
        (Answer(200, b"{}", fate="reset"), 200080),
    ],
)
async def test_wrong_answers_show_the_user_an_error_and_are_not_repeated(town: Town, answer: Answer, code: int) -> None:
    message = await sent(town)
    town.hub.answers = [answer]
    clicked = await town.playground.click(town.ann, message.message_id, "Yes")
    assert clicked.code == code
    assert len(town.hub.requests) == 1
    assert orjson.loads(message.content) == CARD


async def test_no_callback_url_and_no_hub(town: Town) -> None:
    message = await sent(town)
    town.app.callback_url = "http://127.0.0.1:1/"
    assert (await town.playground.click(town.ann, message.message_id, "Yes")).code == 200342
    town.app.callback_url = None
    assert (await town.playground.click(town.ann, message.message_id, "Yes")).code == 200340


async def test_a_form_field_without_a_name_is_an_error(town: Town) -> None:
    card = orjson.loads(orjson.dumps(CARD))
    del card["body"]["elements"][3]["elements"][0]["name"]
    message = await sent(town, card)
    assert (await town.playground.click(town.ann, message.message_id, "send", {})).code == 200530


async def test_the_token_updates_twice_within_half_an_hour_and_not_before_the_answer(town: Town) -> None:
    message = await sent(town)
    early: list[int] = []

    async def update_at_once(document: dict[str, Any]) -> None:
        body = {"token": document["event"]["token"], "card": OTHER}
        early.append(await town.call.code("POST", "interactive/v1/card/update", body))

    town.hub.on_event = update_at_once
    clicked = await town.playground.click(town.ann, message.message_id, "Yes")
    town.hub.on_event = None
    body = {"token": clicked.token, "card": OTHER}
    codes = [await town.call.code("POST", "interactive/v1/card/update", body) for _ in range(3)]
    assert (early, codes) == ([200810], [0, 0, 300040])
    assert orjson.loads(message.content) == OTHER
    assert await town.call_other.code("POST", "interactive/v1/card/update", body) == 300020
    clicked = await town.playground.click(town.ann, (await sent(town)).message_id, "Yes")
    body = {"token": clicked.token, "card": {"elements": [], "config": {"update_multi": False}}}
    assert await town.call.code("POST", "interactive/v1/card/update", body) == 300090
    assert (await town.call("POST", "interactive/v1/card/update", body | {"card": {"schema": "2.0"}}))[1][
        "code"
    ] == 11311
    town.clock.time += 1800
    assert (await town.call("POST", "interactive/v1/card/update", body | {"card": OTHER}))[1]["code"] == 300030


async def test_legacy_callbacks_are_flat(town: Town) -> None:
    message = await sent(
        town,
        {
            "config": {"update_multi": True},
            "elements": [
                {
                    "tag": "action",
                    "actions": [{"tag": "button", "text": {"content": "Go"}, "value": {"k": "v"}}],
                }
            ],
        },
    )
    town.hub.answers = [Answer(200, b'{"elements":[{"tag":"hr"}]}')]
    clicked = await town.playground.click(town.ann, message.message_id, "Go", legacy=True)
    assert clicked.card_changed
    assert town.hub.documents[-1]["action"]["value"] == {"k": "v"}
    assert town.hub.documents[-1]["token"] == clicked.token


async def test_link_previews(town: Town) -> None:
    town.hub.answers = [Answer(200, b'{"inline":{"title":"T"}}')]
    seen = await town.playground.preview(town.app, town.ann, "https://example.test/x")
    assert (seen.code, seen.answer) == (0, {"inline": {"title": "T"}})
    assert town.hub.documents[-1]["event"]["context"]["url"] == "https://example.test/x"


async def test_reactions_come_back_as_events(town: Town) -> None:
    message = await sent(town)
    path = f"im/v1/messages/{message.message_id}/reactions"
    body = {"reaction_type": {"emoji_type": "SMILE"}}
    _, first = await town.call("POST", path, body)
    _, again = await town.call("POST", path, body)
    assert first["data"]["reaction_id"] == again["data"]["reaction_id"]
    await town.playground.deliveries.settle()
    assert town.hub.documents[-1]["event"]["operator_type"] == "app"
    assert len((await town.call("GET", path))[1]["data"]["items"]) == 1
    assert await town.call.code("DELETE", f"{path}/{first['data']['reaction_id']}") == 0
    assert (await town.call("POST", path.replace(message.message_id, "om_unknown"), body))[1]["code"] == 231003
    await asyncio.sleep(0)
