"""Cards that are entities: typed in sequence, changed by their elements, bounded in number and time."""

from __future__ import annotations

from typing import Any

import orjson

from tests.unit.playground.conftest import Town
from tests.unit.playground.test_cards import sent

STREAMED = {
    "schema": "2.0",
    "config": {"streaming_mode": True},
    "body": {"elements": [{"tag": "markdown", "content": "", "element_id": "md"}]},
}


async def streaming_card(town: Town) -> str:
    _, answer = await town.call(
        "POST", "cardkit/v1/cards", {"type": "card_json", "data": orjson.dumps(STREAMED).decode()}
    )
    return str(answer["data"]["card_id"])


async def test_a_card_is_typed_in_strict_sequence(town: Town) -> None:
    card_id = await streaming_card(town)
    send = {
        "receive_id": town.p2p.chat_id,
        "msg_type": "interactive",
        "content": orjson.dumps({"type": "card", "data": {"card_id": card_id}}).decode(),
    }
    _, answer = await town.call("POST", "im/v1/messages", send, receive_id_type="chat_id")
    message = town.playground.world.messages[answer["data"]["message_id"]]
    assert (await town.call("POST", "im/v1/messages", send, receive_id_type="chat_id"))[1]["code"] == 230099, (
        "once only"
    )
    path = f"cardkit/v1/cards/{card_id}/elements/md/content"

    async def put(text: str, sequence: int, uuid: str = "") -> int:
        document = {"content": text, "sequence": sequence} | ({"uuid": uuid} if uuid else {})
        return await town.call.code("PUT", path, document)

    assert [await put("He", 1), await put("Hello", 2, "u"), await put("Hello", 2, "u")] == [0, 0, 0]
    assert [await put("x", 2), await put("y", 3, "u")] == [300317, 200770]
    assert orjson.loads(message.content)["body"]["elements"][0]["content"] == "Hello"
    assert await town.call_other.code("PUT", path, {"content": "x", "sequence": 9}) == 300311
    settings = {"settings": '{"config":{"streaming_mode":false}}', "sequence": 5}
    assert await town.call.code("PATCH", f"cardkit/v1/cards/{card_id}/settings", settings) == 0
    assert await put("late", 6) == 300309
    assert (await town.call("PUT", path.replace("/md/", "/nothing/"), {"content": "x", "sequence": 7}))[1][
        "code"
    ] == 300309


async def test_ten_changes_a_second_and_ten_minutes_of_typing(town: Town) -> None:
    path = f"cardkit/v1/cards/{await streaming_card(town)}/elements/md/content"
    codes = [await town.call.code("PUT", path, {"content": "x" * n, "sequence": n}) for n in range(1, 12)]
    assert codes == [0] * 10 + [230020]
    town.clock.time += 601
    assert await town.call.code("PUT", path, {"content": "x", "sequence": 20}) == 200850


async def test_elements_of_a_card(town: Town) -> None:
    card_id = await streaming_card(town)
    root = f"cardkit/v1/cards/{card_id}"

    async def do(method: str, path: str, document: dict[str, Any]) -> int:
        return await town.call.code(method, root + path, document)

    new = '[{"tag":"hr","element_id":"line"}]'
    assert (
        await do(
            "POST",
            "/elements",
            {"type": "insert_after", "target_element_id": "md", "elements": new, "sequence": 1},
        )
        == 0
    )
    assert await do("PATCH", "/elements/md", {"partial_element": '{"content":"b"}', "sequence": 2}) == 0
    assert (
        await do(
            "PUT",
            "/elements/line",
            {"element": '{"tag":"markdown","content":"c","element_id":"line"}', "sequence": 3},
        )
        == 0
    )
    off = {"settings": {"config": {"streaming_mode": False}}}
    actions = orjson.dumps(
        [
            {"action": "delete_elements", "params": {"element_ids": ["md"]}},
            {"action": "partial_update_setting", "params": off},
        ]
    ).decode()
    assert await do("POST", "/batch_update", {"actions": actions, "sequence": 4}) == 0
    assert await do("DELETE", "/elements/md", {"sequence": 5}) == 300313
    card = town.playground.cards.cards[card_id].card
    assert card["body"]["elements"] == [{"tag": "markdown", "content": "c", "element_id": "line"}]
    assert await do("PUT", "", {"card": {"type": "card_json", "data": '{"elements":[]}'}, "sequence": 6}) == 300303
    message = await sent(town)
    assert (await town.call("POST", "cardkit/v1/cards/id_convert", {"message_id": message.message_id}))[1]["data"][
        "card_id"
    ] == message.card_id


async def test_a_card_cannot_be_changed_while_its_callback_is_open(town: Town) -> None:
    card_id = await streaming_card(town)
    send = {
        "receive_id": town.p2p.chat_id,
        "msg_type": "interactive",
        "content": orjson.dumps({"type": "card", "data": {"card_id": card_id}}).decode(),
    }
    _, answer = await town.call("POST", "im/v1/messages", send, receive_id_type="chat_id")
    codes: list[int] = []

    async def type_on(document: dict[str, Any]) -> None:
        path = f"cardkit/v1/cards/{card_id}/elements/md/content"
        codes.append(await town.call.code("PUT", path, {"content": "x", "sequence": 1}))

    town.hub.on_event = type_on
    await town.playground.click(town.ann, answer["data"]["message_id"], {"tag": "button", "value": {}})
    assert codes == [200810]
