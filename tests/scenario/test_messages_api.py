"""Programs have bots send messages through the API, over a real outbox and the playground's Feishu."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from app.core.keys import Keys
from app.core.redis import RedisLink
from tests.scenario.api import ADMIN, Api, open_api

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64
SUPPORT = "/api/v1/bots/support"


@pytest.fixture
async def api(link: RedisLink, keys: Keys, no_key_without_ttl: None) -> AsyncIterator[Api]:
    async with open_api(link, keys) as api:
        yield api


async def test_a_text_is_accepted_sent_and_its_state_read(api: Api) -> None:
    answer = await api.send({"to": api.chat.chat_id, "text": "from a program"})
    assert answer.status_code == 202
    accepted = answer.json()
    assert answer.headers["location"] == f"{SUPPORT}/messages/{accepted['id']}"

    found = await api.ended("messages", accepted["id"])
    assert found["state"] == "sent"
    [message] = api.playground.ledger.messages(api.chat.chat_id)
    assert found["message_id"] == message.message_id
    assert api.heard() == [("text", {"text": "from a program"})]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"post": {"zh_cn": {"title": "t", "content": [[{"tag": "text", "text": "a"}]]}}}, "post"),
        ({"card": {"schema": "2.0", "body": {"elements": [{"tag": "markdown", "content": "hi"}]}}}, "interactive"),
        ({"markdown": "**bold**"}, "post"),
    ],
    ids=["post", "card", "markdown"],
)
async def test_every_kind_of_content_is_sent(api: Api, content: dict[str, Any], kind: str) -> None:
    accepted = (await api.send({"to": {"chat_id": api.chat.chat_id}, **content})).json()
    assert (await api.ended("messages", accepted["id"]))["state"] == "sent"
    assert [kind for kind, _ in api.heard()] == [kind]


async def test_what_is_too_long_for_a_message_is_sent_as_a_file(api: Api) -> None:
    text = "a line\n" * 40_000
    accepted = (await api.send({"to": api.chat.chat_id, "text": text})).json()
    assert (await api.ended("messages", accepted["id"]))["state"] == "sent"
    [(kind, content)] = api.heard()
    assert (kind, api.playground.world.uploads[content["file_key"]].data) == ("file", text.encode())


async def test_a_card_of_text_that_is_too_long_is_sent_as_a_file(api: Api) -> None:
    elements = [{"tag": "markdown", "content": "a line\n" * 5000} for _ in range(2)]
    card = {"schema": "2.0", "body": {"elements": elements}}
    accepted = (await api.send({"to": api.chat.chat_id, "card": card})).json()
    assert (await api.ended("messages", accepted["id"]))["state"] == "sent"
    [(kind, content)] = api.heard()
    upload = api.playground.world.uploads[content["file_key"]]
    assert (kind, upload.name, upload.data.count(b"a line")) == ("file", "message.md", 10_000)


def long_card() -> dict[str, Any]:
    """Three messages' worth: texts, each with its button."""
    elements: list[Any] = []
    for number in range(3):
        elements.append({"tag": "markdown", "content": f"{number} " + "a line\n" * 2500})
        button = {"tag": "plain_text", "content": f"{number}"}
        elements.append({"tag": "button", "text": button, "behaviors": [{"type": "callback", "value": {"n": number}}]})
    return {
        "schema": "2.0",
        "header": {"title": {"tag": "plain_text", "content": "Report"}},
        "body": {"elements": elements},
    }


async def test_a_card_with_buttons_that_is_too_long_is_several_cards_in_order(api: Api) -> None:
    card = long_card()
    document = {"to": api.chat.chat_id, "card": card}
    answer = await api.send(document, headers={"Idempotency-Key": "report"})
    assert answer.status_code == 202
    accepted = answer.json()
    assert (accepted["total"], accepted["failed"]) == (3, 0)
    assert answer.headers["location"] == f"{SUPPORT}/batches/{accepted['id']}"
    again = await api.send(document, headers={"Idempotency-Key": "report"})
    assert again.json()["id"] == accepted["id"]

    assert (await api.ended("batches", accepted["id"]))["sent"] == 3
    heard = api.heard()
    assert [kind for kind, _ in heard] == ["interactive"] * 3
    assert [element for _, one in heard for element in one["body"]["elements"]] == card["body"]["elements"]
    assert ["header" in one for _, one in heard] == [True, False, False]


async def test_such_a_card_to_many_reaches_each_in_order(api: Api) -> None:
    more = [api.playground.group(f"team {n}", [api.app], api.chat.users) for n in range(2)]
    chats = [api.chat, *more]
    accepted = (await api.send({"to": [chat.chat_id for chat in chats], "card": long_card()})).json()
    assert accepted["total"] == 9
    assert (await api.ended("batches", accepted["id"]))["sent"] == 9
    for chat in chats:
        heard = [element for _, one in api.heard(chat) for element in one["body"]["elements"]]
        assert heard == long_card()["body"]["elements"]


async def test_such_a_card_can_be_cancelled_while_it_waits(api: Api) -> None:
    document = {"to": api.chat.chat_id, "card": long_card(), "at": time.time() + 3600}
    accepted = (await api.send(document)).json()
    cancelled = (await api.http.delete(f"{SUPPORT}/batches/{accepted['id']}")).json()
    assert (cancelled["cancelled"], cancelled["waiting"]) == (3, 0)
    assert api.heard() == []


async def test_feishu_away_is_not_the_callers_fault(api: Api) -> None:
    api.playground.faults.add("code", api="im.v1.image.create", code=99991403)
    files = {"image": ("a.png", PNG), "message": (None, orjson.dumps({"to": api.chat.chat_id}))}
    answer = await api.http.post(f"{SUPPORT}/messages", files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_files_in_a_form_are_uploaded_when_they_are_accepted(api: Api) -> None:
    async def post(document: Any, name: str, filename: str, data: bytes) -> Any:
        files = {name: (filename, data), "message": (None, orjson.dumps(document))}
        return (await api.http.post(f"{SUPPORT}/messages", files=files)).json()

    image = await post({"to": api.chat.chat_id}, "image", "a.png", PNG)
    await api.ended("messages", image["id"])
    document = await post({"to": api.chat.chat_id, "file": {"name": "b.pdf"}}, "file", "other.pdf", b"%PDF")
    await api.ended("messages", document["id"])

    (_, shown), (kind, sent) = api.heard()
    uploads = api.playground.world.uploads
    assert uploads[shown["image_key"]].data == PNG
    assert (kind, uploads[sent["file_key"]].name, uploads[sent["file_key"]].kind) == ("file", "b.pdf", "pdf")
    again = await api.send({"to": api.chat.chat_id, "file": {"key": sent["file_key"]}})
    await api.ended("messages", again.json()["id"])
    assert api.heard()[2] == ("file", sent)


async def test_a_url_is_fetched_once_and_only_where_it_may_be(api: Api) -> None:
    asked: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=PNG)

    app = web.Application()
    app.router.add_get("/{name}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        document = {"to": api.chat.chat_id, "image": {"url": f"http://127.0.0.1:{port}/a.png"}}
        headers = {"Idempotency-Key": "k"}
        first, second = await api.send(document, headers=headers), await api.send(document, headers=headers)
        assert first.json()["id"] == second.json()["id"]
        await api.ended("messages", first.json()["id"])
        assert asked == ["/a.png"]
        assert len(api.heard()) == 1

        refused = await api.send({"to": api.chat.chat_id, "image": {"url": "http://127.0.0.2/secret?token=abc"}})
        assert refused.status_code == 422
        message = refused.json()["error"]["message"]
        assert message.startswith("body.image: 127.0.0.2 is no public address")
        assert "abc" not in message
    finally:
        await runner.cleanup()


async def test_one_request_to_many_shows_its_progress(api: Api) -> None:
    chats = [api.playground.group(f"g{n}", [api.app], []) for n in range(12)]
    to = [*(chat.chat_id for chat in chats), "oc_nobody_knows"]
    batch = (await api.send({"to": to, "text": "to all"})).json()
    assert (batch["total"], batch["waiting"] <= 13) == (13, True)

    found = await api.ended("batches", batch["id"])
    assert (found["sent"], found["failed"], found["cancelled"]) == (12, 1, 0)
    assert all(api.heard(chat) == [("text", {"text": "to all"})] for chat in chats)
    page = (await api.http.get(f"{SUPPORT}/batches/{batch['id']}/messages?after=11&limit=5")).json()
    assert [one["state"] for one in page] == ["sent", "failed"]
    assert page[1]["reason"]
    assert page[1]["batch"] == batch["id"]


async def test_the_same_key_sends_once_and_another_body_is_refused(api: Api) -> None:
    headers = {"Idempotency-Key": "order 4711"}
    document = {"to": api.chat.chat_id, "text": "once"}
    answers = await asyncio.gather(*(api.send(document, headers=headers) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    [id] = {answer.json()["id"] for answer in answers}
    await api.ended("messages", id)
    assert (await api.send(dict(reversed(document.items())), headers=headers)).json()["state"] == "sent"

    other = await api.send({**document, "text": "twice"}, headers=headers)
    many = await api.send({**document, "to": [api.chat.chat_id]}, headers=headers)
    assert (other.status_code, many.status_code) == (409, 409)
    assert "Idempotency-Key" in other.json()["error"]["message"]
    # Another caller's keys are its own.
    mine = await api.send(document, headers={**headers, "Authorization": f"Bearer {ADMIN}"})
    assert mine.json()["id"] != id
    await api.ended("messages", mine.json()["id"])
    assert len(api.heard()) == 2


async def test_a_batch_that_broke_off_is_completed_by_the_same_request(api: Api) -> None:
    to = [f"oc_{n}" for n in range(60)]  # room is for 50
    document = {"to": to, "text": "to all", "at": time.time() + 3600}
    headers = {"Idempotency-Key": "all"}
    full = await api.send(document, headers=headers)
    assert full.status_code == 503
    for number in range(1, 21):
        [batch] = {one["batch"] for one in [await _first(api, headers, document, number)]}
    again = await api.send(document, headers=headers)
    assert again.status_code == 202
    assert (again.json()["id"], again.json()["total"], again.json()["cancelled"]) == (batch, 60, 20)
    page = (await api.http.get(f"{SUPPORT}/batches/{batch}/messages?limit=100")).json()
    assert len(page) == 60
    assert (await api.http.delete(f"{SUPPORT}/batches/{batch}")).json()["cancelled"] == 60


async def _first(api: Api, headers: dict[str, str], document: Any, number: int) -> Any:
    """Cancels message `number` of the batch that the request made."""
    from app.channel.outbox import id_of

    id = id_of("api", "support", "program", headers["Idempotency-Key"])
    return (await api.http.delete(f"{SUPPORT}/messages/{id}-{number}")).json()


async def test_what_has_a_time_waits_for_it_and_can_be_cancelled(api: Api) -> None:
    document = {"to": api.chat.chat_id, "text": "tomorrow", "at": time.time() + 86400}
    accepted = (await api.send(document)).json()
    assert accepted["due"] - accepted["created"] > 86000
    soon = (await api.send({**document, "at": "2020-01-01T09:00:00+08:00"})).json()
    assert (await api.ended("messages", soon["id"]))["state"] == "sent"

    assert (await api.http.delete(f"{SUPPORT}/messages/{accepted['id']}")).json()["state"] == "cancelled"
    late = await api.http.delete(f"{SUPPORT}/messages/{soon['id']}")
    assert (late.status_code, "is sent" in late.json()["error"]["message"]) == (409, True)
    assert len(api.heard()) == 1


async def test_changes_are_streamed_until_the_end(api: Api) -> None:
    states = [""]
    for later in (0.3, 1, 5, 20):  # a busy machine may ask when it is sent already
        if states[0] != "queued":
            accepted = (await api.send({"to": api.chat.chat_id, "text": "x", "at": time.time() + later})).json()
            answer = await api.http.get(f"{SUPPORT}/messages/{accepted['id']}/events")
            events = [orjson.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
            states = [event["state"] for event in events]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (states[0], states[-1]) == ("queued", "sent")

    batch = (await api.send({"to": [api.chat.chat_id], "text": "y"})).json()
    answer = await api.http.get(f"{SUPPORT}/batches/{batch['id']}/events")
    assert '"waiting":0' in answer.text
    assert (await api.http.get(f"{SUPPORT}/messages/none/events")).status_code == 404
