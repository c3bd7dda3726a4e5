"""Tokens and limits: what Feishu refuses whatever is in the message, and when it takes a uuid for a repetition."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.control.playground import DUPLICATE_UUID_CODE
from tests.unit.playground.conftest import Town


async def test_tokens_are_checked_and_renewed_by_the_half_hour_rule(town: Town) -> None:
    call, path = town.call, "im/v1/messages"
    good = call.token
    for value, code in (("", 99991671), ("x-123", 99991671), ("t-unknown", 99991663), ("u-123", 99991668)):
        call.token = value
        assert await call.code("POST", path, {}) == code
    async with call.session.post(f"{town.url}/open-apis/{path}") as response:
        assert (await response.json())["code"] == 99991661
    call.token = good
    credentials = {"app_id": "cli_a", "app_secret": "secret-a"}
    internal = "auth/v3/tenant_access_token/internal"
    town.clock.time += 5000
    _, first = await call("POST", internal, credentials)
    assert (first["code"], first["tenant_access_token"], first["expire"]) == (0, good, 2200)
    town.clock.time += 500
    _, second = await call("POST", internal, credentials)
    assert second["tenant_access_token"] != good
    assert second["expire"] == 7200
    assert (await call("GET", "bot/v3/info"))[1]["bot"]["open_id"] == town.app.open_id
    town.clock.time += 1701
    assert await call.code("GET", "bot/v3/info") == 99991663
    assert await call("POST", internal, credentials | {"app_secret": "wrong"}) == (
        200,
        {"code": 10015, "msg": "app secret invalid", "error": {"log_id": call.headers["x-tt-logid"]}},
    )
    assert await call.code("POST", internal, {"app_id": "cli_unknown", "app_secret": "x"}) == 10003


async def test_store_apps_fetch_their_token_in_three_steps(town: Town) -> None:
    credentials = {"app_id": "cli_a", "app_secret": "secret-a"}
    assert await town.call.code("POST", "auth/v3/app_ticket/resend", credentials) == 0
    await town.playground.deliveries.settle()
    event = town.hub.documents[-1]
    assert (event["type"], event["event"]["type"]) == ("event_callback", "app_ticket")
    with_ticket = credentials | {"app_ticket": event["event"]["app_ticket"]}
    assert (await town.call("POST", "auth/v3/app_access_token", credentials | {"app_ticket": "old"}))[1][
        "code"
    ] == 10012
    _, app_token = await town.call("POST", "auth/v3/app_access_token", with_ticket)
    body = {"app_access_token": app_token["app_access_token"], "tenant_key": "t_playground_tenant"}
    _, tenant = await town.call("POST", "auth/v3/tenant_access_token", body)
    assert tenant["tenant_access_token"].startswith("t-")


async def test_fifty_a_second_and_a_thousand_a_minute(town: Town) -> None:
    for _ in range(50):
        assert (await town.call("GET", "bot/v3/info"))[0] == 200
    status, answer = await town.call("GET", "bot/v3/info")
    assert (status, answer["code"]) == (429, 99991400)
    assert town.call.headers["x-ogw-ratelimit-limit"] == "50"
    assert int(town.call.headers["x-ogw-ratelimit-reset"]) == 1
    assert (await town.call_other("GET", "bot/v3/info"))[0] == 200, "another app has a budget of its own"
    for _ in range(19):
        town.clock.time += 1
        for _ in range(50):
            assert (await town.call("GET", "bot/v3/info"))[0] == 200
    town.clock.time += 1
    status, _ = await town.call("GET", "bot/v3/info")
    assert (status, town.call.headers["x-ogw-ratelimit-limit"]) == (429, "1000")
    assert int(town.call.headers["x-ogw-ratelimit-reset"]) == 40
    town.playground.limits.status_400.add("bot.v3.info")
    assert (await town.call("GET", "bot/v3/info"))[0] == 400
    assert [call.violation for call in town.playground.ledger.violations()] == [
        "app_second",
        "app_minute",
        "app_minute",
    ]
    town.clock.time += 40
    assert (await town.call("GET", "bot/v3/info"))[0] == 200


async def test_a_chat_takes_five_a_second_from_all_apps_together(town: Town) -> None:
    for index in range(5):
        call = town.call if index % 2 else town.call_other
        assert (await call.say(town.group.chat_id, "hi"))[0] == 200
    status, answer = await town.call.say(town.group.chat_id, "hi")
    assert (status, answer["code"]) == (400, 230020)
    assert (await town.call.say(town.p2p.chat_id, "hi"))[0] == 200
    town.playground.limits.scale = 2.0
    assert (await town.call.say(town.group.chat_id, "hi"))[0] == 200
    town.playground.limits.scale, town.clock.time = 1.0, town.clock.time + 1
    assert (await town.call.say(town.group.chat_id, "hi"))[0] == 200


@pytest.mark.parametrize("scope", ["app", "receiver"])
@pytest.mark.parametrize("mode", ["original", "error"])
async def test_a_repeated_uuid_sends_nothing_for_an_hour(town: Town, mode: Any, scope: Any) -> None:
    town.playground.uuids.mode, town.playground.uuids.scope = mode, scope
    _, first = await town.call.say(town.p2p.chat_id, "once", uuid="u-1")
    _, again = await town.call.say(town.p2p.chat_id, "once", uuid="u-1")
    _, elsewhere = await town.call.say(town.group.chat_id, "once", uuid="u-1")
    if mode == "original":
        assert again["data"]["message_id"] == first["data"]["message_id"]
    else:
        assert again["code"] == DUPLICATE_UUID_CODE
    assert len(town.playground.ledger.messages()) == (1 if scope == "app" else 2)
    assert elsewhere["code"] == (DUPLICATE_UUID_CODE if (mode, scope) == ("error", "app") else 0)
    assert (await town.call_other.say(town.group.chat_id, "once", uuid="u-1"))[1]["code"] == 0, "per app"
    town.clock.time += 3600
    _, late = await town.call.say(town.p2p.chat_id, "once", uuid="u-1")
    assert late["data"]["message_id"] != first["data"]["message_id"]
    assert [len(group) for group in town.playground.ledger.duplicates("uuid")] == [2 if scope == "app" else 3]


async def test_a_refused_send_leaves_its_uuid_free(town: Town) -> None:
    town.playground.faults.add("code", code=11232)
    assert (await town.call.say(town.p2p.chat_id, "hi", uuid="u-1"))[1]["code"] == 11232
    assert (await town.call.say(town.p2p.chat_id, "hi", uuid="u-1"))[1]["code"] == 0
    assert len(town.playground.ledger.messages()) == 1


async def test_the_same_uuid_is_refused_while_the_first_send_is_unanswered(town: Town) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def slow(seconds: float) -> None:
        inside.set()
        await go_on.wait()

    town.clock.sleep = slow  # type: ignore[method-assign]
    town.playground.faults.add("latency", seconds=1.0)
    first = asyncio.create_task(town.call.say(town.p2p.chat_id, "hi", uuid="u-1"))
    await inside.wait()
    assert (await town.call_other.say(town.group.chat_id, "hi", uuid="u-1"))[1]["code"] == 0
    assert (await town.call.say(town.p2p.chat_id, "hi", uuid="u-1"))[1]["code"] == 230049
    go_on.set()
    assert (await first)[1]["code"] == 0
    assert (await town.call.say(town.p2p.chat_id, "hi", uuid="u-1"))[1]["code"] == 0
    assert len(town.playground.ledger.messages(town.p2p.chat_id)) == 1
