"""Another process can do with the playground all that a test in the same process can."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
import pytest

from tests.unit.playground.conftest import Town
from tests.unit.playground.fake_hub import ENCRYPT_KEY, TOKEN, Caller, FakeHub


class Remote:
    """Calls the control API."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session, self._url, self._headers = session, url, {"X-Playground-Token": token}
        self.status = 0

    async def __call__(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        url = f"{self._url}/_playground{path}"
        async with self._session.request(method, url, json=body, params=query, headers=self._headers) as response:
            self.status = response.status
            answer: dict[str, Any] = await response.json()
            return answer


@pytest.fixture
def remote(town: Town) -> Remote:
    return Remote(town.call.session, town.url, town.playground.control_token)


async def test_the_ledger_over_http(town: Town, remote: Remote) -> None:
    chat, ann = town.p2p.chat_id, town.ann.user_id
    said = await remote("POST", "/says", {"user_id": ann, "chat_id": chat, "text": "hi"})
    await town.playground.deliveries.settle()
    body = {"msg_type": "text", "content": '{"text":"yes"}', "uuid": "u1"}
    for _ in range(2):
        await town.call("POST", f"im/v1/messages/{said['message_id']}/reply", body)
    for n in range(5):
        await town.call.say(chat, "again" if n % 2 else "more")
    (turn,) = (await remote("GET", "/ledger/turns"))["turns"]
    assert (turn["message_id"], turn["event_id"]) == (said["message_id"], said["event_ids"][0])
    assert turn["acked"] is not None
    assert turn["seconds"] == 0.0
    calls = (await remote("GET", "/ledger/calls", api="im.v1.message.reply"))["calls"]
    assert [call["repeated"] for call in calls] == [False, True]
    assert calls[0]["content"] == '{"text":"yes"}'
    assert calls[0]["content_hash"] == calls[1]["content_hash"] != ""
    accepted = await remote("GET", "/ledger/messages", chat_id=chat, limit="2")
    assert (accepted["total"], len(accepted["messages"])) == (5, 2)
    assert [len(group) for group in (await remote("GET", "/ledger/duplicates", by="content"))["duplicates"]] == [2, 2]
    assert (await remote("GET", "/ledger/duplicates"))["duplicates"] == []
    assert [call["code"] for call in (await remote("GET", "/ledger/violations"))["violations"]] == [230020]
    assert (await remote("GET", "/ledger/unacked"))["unacked"] == []
    (delivery,) = (await remote("GET", "/deliveries", identity=said["message_id"], documents="1"))["deliveries"]
    assert delivery["attempts"][0]["status"] == 200
    assert delivery["document"]["event"]["message"]["message_id"] == said["message_id"]
    await remote("DELETE", "/ledger")
    assert (await remote("GET", "/ledger/calls"))["calls"] == []


async def test_what_users_see(town: Town, remote: Remote) -> None:
    said = await town.playground.user_says(town.ann, town.group, "hi", [town.app])
    await remote("POST", "/react", {"user_id": town.tom.user_id, "message_id": said.message_id, "emoji": "SMILE"})
    card = {"schema": "2.0", "body": {"elements": [{"tag": "hr"}]}}
    open_id = town.playground.open_id(town.app, town.ann)
    body = {"chat_id": town.group.chat_id, "open_id": open_id, "msg_type": "interactive", "card": card}
    await town.call("POST", "ephemeral/v1/send", body)
    await town.call.say(town.group.chat_id, f'<at user_id="{open_id}">x</at> hello')
    for user, types in ((town.ann, ["text", "interactive", "text"]), (town.tom, ["text", "text"])):
        seen = await remote("GET", "/messages", chat_id=town.group.chat_id, user_id=user.user_id)
        assert [message["msg_type"] for message in seen["messages"]] == types
        assert seen["messages"][0]["reactions"] == {"SMILE": ["Tom"]}
        assert [seen["messages"][n]["text"] for n in (0, -1)] == ["@Helper hi", "@Ann hello"]
    await remote("POST", "/recall", {"message_id": said.message_id})
    (chat,) = [c for c in (await remote("GET", "/state"))["chats"] if c["kind"] == "group"]
    assert chat["last"]["text"] == "@Ann hello"


async def test_events_attacks_and_settings(town: Town, remote: Remote) -> None:
    event = await remote("POST", "/deliver", {"app_id": "cli_a", "event_type": "x.y_v1", "body": {"n": 1}})
    await town.playground.deliveries.settle()
    document = (await remote("GET", "/deliveries", event_id=event["event_id"], documents="1"))["deliveries"][0][
        "document"
    ]
    attempt = await remote("POST", "/attack", {"name": "bad_signature", "app_id": "cli_a", "document": document})
    assert attempt["status"] == 200, "the fake hub takes anything"
    again = await remote("POST", "/redeliver", {"event_id": event["event_id"], "fresh_id": True})
    assert again["event_id"] != event["event_id"]
    assert (await remote("POST", "/challenge", {"app_id": "cli_a"}))["passed"]
    settings = await remote("POST", "/settings", {"limits": {"scale": 3.0}, "chaos": {"duplicate": 0.5}})
    assert (settings["limits"]["scale"], town.playground.chaos.duplicate) == (3.0, 0.5)
    fault = await remote("POST", "/faults", {"kind": "code", "code": 11232, "times": 2, "api": "bot.*"})
    assert (await town.call("GET", "bot/v3/info"))[1]["code"] == 11232
    assert (await remote("GET", "/faults"))["faults"][0]["times"] == 1
    await remote("DELETE", "/faults", fault_id=str(fault["fault_id"]))
    assert (await town.call("GET", "bot/v3/info"))[1]["code"] == 0
    hook = await remote("POST", "/hooks", {"chat_id": town.group.chat_id})
    assert hook["path"].endswith(hook["token"])
    seen = await remote("POST", "/preview", {"app_id": "cli_a", "user_id": town.ann.user_id, "url": "https://e.test"})
    assert seen["code"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/says", {"user_id": "nobody", "chat_id": "oc", "text": "x"}),
        ("POST", "/says", {}),
        ("POST", "/faults", {"kind": "earthquake"}),
        ("POST", "/faults", {"kind": "code", "unknown": 1}),
        ("POST", "/settings", {"limits": {"_taken": {}}}),
        ("POST", "/click", {"message_id": "om_unknown"}),
        ("POST", "/redeliver", {"event_id": "unknown"}),
    ],
)
async def test_what_cannot_be_done_is_said(town: Town, remote: Remote, method: str, path: str, body: Any) -> None:
    answer = await remote(method, path, body)
    assert remote.status == 400
    assert answer["error"]


async def test_it_runs_as_a_program() -> None:
    hub = FakeHub()
    await hub.start()
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.control.playground", "--speed", "1000", stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    try:
        ready = json.loads(await program.stdout.readline())
        async with aiohttp.ClientSession() as session:
            remote = Remote(session, ready["url"], ready["token"])
            app = {
                "app_id": "cli_a",
                "app_secret": "s",
                "name": "A",
                "encrypt_key": ENCRYPT_KEY,
                "verification_token": TOKEN,
            }
            await remote("POST", "/apps", app | {"event_url": hub.url, "callback_url": hub.url})
            user = await remote("POST", "/users", {"name": "Ann"})
            chat = await remote("POST", "/p2p", {"app_id": "cli_a", "user_id": user["user_id"]})
            await remote("POST", "/says", {**user, **chat, "text": "hi"})
            call = Caller(session, ready["url"], "")
            path = "auth/v3/tenant_access_token/internal"
            call.token = (await call("POST", path, {"app_id": "cli_a", "app_secret": "s"}))[1]["tenant_access_token"]
            card = {
                "elements": [{"tag": "action", "actions": [{"tag": "button", "name": "b", "text": {"content": "B"}}]}]
            }
            body = {"receive_id": chat["chat_id"], "msg_type": "interactive", "content": json.dumps(card)}
            _, sent = await call("POST", "im/v1/messages", body, receive_id_type="chat_id")
            clicked = await remote("POST", "/click", {**user, **sent["data"], "action": ["elements", 0, "actions", 0]})
            assert (clicked["code"], clicked["status"]) == (0, 200)
        assert [d["header"]["event_type"] for d in hub.documents] == [
            "im.message.receive_v1",
            "card.action.trigger",
        ]
    finally:
        program.terminate()
        await program.wait()
        await hub.close()
    assert program.returncode == 0
