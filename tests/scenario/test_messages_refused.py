"""Wrong requests to have messages sent are refused with what is wrong with them, and so is who may not send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink
from tests.scenario.api import ADMIN, Api, open_api

SUPPORT = "/api/v1/bots/support"
A_LARGE_BUTTON = [{"tag": "markdown", "content": "press"}, {"tag": "button", "text": "x" * 40_000}]
TWELVE_BUTTONS = [{"tag": "button", "text": "x" * 20_000}] * 12
MARKDOWN_OF_NO_TEXT = {"tag": "markdown", "other": "x" * 40_000}
TOO_DEEP: Any = {}
for _ in range(300):
    TOO_DEEP = {"elements": [TOO_DEEP]}


@pytest.fixture
async def api(link: RedisLink, keys: Keys, no_key_without_ttl: None) -> AsyncIterator[Api]:
    async with open_api(link, keys) as api:
        yield api


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"to": "somebody"}, 422, "body.to"),
        ({"to": ["oc_1", "nobody"]}, 422, "body.to.1"),
        ({"to": []}, 422, "body.to"),
        ({"to": ["oc_1", "oc_1"]}, 422, "to.1 is the same receiver as to.0"),
        ({"to": [f"oc_{n}" for n in range(10_001)]}, 422, "body.to"),
        ({"to": {"phone": "1"}}, 422, "body.to"),
        ({"text": ""}, 422, "body.text"),
        ({"text": 7}, 422, "body.text"),
        ({"text": None}, 422, "exactly one of text"),
        ({"card": {"schema": "2.0"}}, 422, "text and card"),
        ({"text": None, "card": {"no": "card"}}, 422, "body.card"),
        ({"text": None, "post": {"schema": "2.0"}}, 422, "body.post"),
        ({"text": None, "image": {}}, 422, "body.image"),
        ({"text": None, "image": {"key": "k", "url": "http://x"}}, 422, "body.image"),
        ({"text": None, "image": {"url": "file:///etc/passwd"}}, 422, "body.image"),
        ({"text": None, "file": {"key": "k", "type": "exe"}}, 422, "body.file.type"),
        ({"text": None, "card": {"schema": "2.0", "body": {"elements": ["x" * 40_000]}}}, 422, "body.card"),
        (
            {"text": None, "card": {"schema": "2.0", "body": {"elements": A_LARGE_BUTTON}}},
            422,
            "body.card: element 2 (button) alone is 40",
        ),
        ({"text": None, "card": {"schema": "2.0", "body": {"elements": TWELVE_BUTTONS}}}, 422, "body.card: a card of"),
        ({"text": None, "card": {"schema": "2.0", "body": {"elements": [MARKDOWN_OF_NO_TEXT]}}}, 422, "body.card"),
        ({"text": None, "card": {"schema": "2.0", "body": TOO_DEEP}}, 422, "body.card"),
        ({"at": "tomorrow"}, 422, "body.at"),
        ({"at": "2026-01-31T09:00:00"}, 422, "body.at: a time needs its time zone"),
        ({"at": 9e12}, 422, "body.at"),
        ({"txt": "x"}, 422, "body.txt"),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, dict) else "-".join(value),
)
async def test_a_wrong_request_is_refused_with_its_field_named(
    api: Api, change: dict[str, Any], status: int, named: str
) -> None:
    document = {"to": api.chat.chat_id, "text": "right", **change}
    answer = await api.send({name: value for name, value in document.items() if value is not None})
    assert answer.status_code == status
    message = answer.json()["error"]["message"]
    assert named in message
    assert "; body" not in message, "one fault is said once"
    assert api.playground.ledger.messages() == []


async def test_wrong_bodies_and_headers_are_refused(api: Api) -> None:
    async def post(**more: Any) -> tuple[int, str]:
        answer = await api.http.post(f"{SUPPORT}/messages", **more)
        return answer.status_code, answer.json()["error"]["message"]

    status, message = await post(content=b"{")
    assert (status, message[:4]) == (400, "body")
    status, message = await post(content=b"[]")
    assert (status, message) == (422, "body: expected an object")
    status, _ = await post(content=b" " * 5_000_000)
    assert status == 413
    status, message = await post(json={}, headers={"Idempotency-Key": "x" * 256})
    assert (status, "idempotency-key" in message) == (422, True)
    too_deep = {"to": "oc_1", "card": {"schema": "2.0", "body": TOO_DEEP}}
    assert await post(json=too_deep, headers={"Idempotency-Key": "k"}) == (422, "body: nested too deeply")
    status, message = await post(files={"picture": ("a", b"x"), "message": (None, b"{}")})
    assert (status, "picture" in message) == (422, True)
    form = {"message": (None, orjson.dumps({"to": "oc_1", "image": {"key": "k"}})), "image": ("a", b"PNG")}
    status, message = await post(files=form)
    assert (status, message[:18]) == (422, "body.message.image")
    assert (await api.http.get(f"{SUPPORT}/messages/none")).status_code == 404
    assert (await api.http.get(f"{SUPPORT}/batches/none")).status_code == 404


@pytest.mark.parametrize(
    ("token", "bot", "status"),
    [(None, "support", 401), ("wrong", "support", 401), ("ours", "other", 403), (ADMIN, "nobody", 404)],
    ids=["none", "wrong", "another-bot", "no-bot"],
)
async def test_nobody_sends_without_a_token_for_the_bot(api: Api, token: str | None, bot: str, status: int) -> None:
    document = {"to": api.chat.chat_id, "text": "x"}
    if token != "ours":
        api.http.headers.pop("Authorization")
    headers = {"Authorization": f"Bearer {token}"} if token not in (None, "ours") else {}
    path = f"/api/v1/bots/{bot}"
    answer = await api.http.post(f"{path}/messages", json=document, headers=headers)
    assert answer.status_code == status
    if status != 404:
        for ask in (f"{path}/messages/x", f"{path}/batches/x", f"{path}/messages/x/events"):
            assert (await api.http.get(ask, headers=headers)).status_code == status
        assert (await api.http.delete(f"{path}/messages/x", headers=headers)).status_code == status
    assert api.playground.ledger.messages() == []
