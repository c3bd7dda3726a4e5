"""Messages through a real hub: by the command, by a limited token, by a handler; sent by a channel process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.system.hub_process import HubProcess, feishu_hub
from tests.system.world import Site, text_of
from tests.waiting import until

pytestmark = pytest.mark.system

LATER = '''
"""Answers now, and tells the team later."""
from app.sdk import Bot, Context, Message

bot = Bot()


@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    return await ctx.send(message.text, "from a handler", later=True)
'''
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64
TOKEN = "the-token-of-a-program"


@pytest.fixture
async def hub(site: Site) -> HubProcess:
    site.handler("later", LATER)
    app = site.bot("echo", handler="later")
    site.bot("other")
    site.settings(api_tokens=[{"name": "program", "token": "${PROGRAM_TOKEN}", "bots": ["echo"]}])
    site.playground.group("team", [app], [])
    hub = site.hub(env={"PROGRAM_TOKEN": TOKEN})
    await hub.start()
    site.point_at(hub)
    return hub


async def test_messages_are_sent_by_command_token_and_handler(site: Site, hub: HubProcess, tmp_path: Path) -> None:
    [team] = [chat for chat in site.playground.world.chats.values() if chat.name == "team"]

    def said() -> list[str]:
        return [text_of(one) for one in site.playground.ledger.messages(team.chat_id)]

    async def send(*arguments: str) -> tuple[int, str, str]:
        # As in the hub's own environment, which hub.yaml takes the token from.
        where = ("--config", str(site.config), "--data-dir", str(hub.data_dir), "--api", hub.admin_url)
        return await feishu_hub("send", *arguments, *where, env={"PROGRAM_TOKEN": TOKEN})

    once = ("echo", team.chat_id, "from the command", "--idempotency-key", "order 4711", "--wait", "--json")
    status, printed, errors = await send(*once)
    assert (status, errors) == (0, "")
    found = json.loads(printed)
    assert await send(*once) == (0, printed, ""), "said again it is the same message"
    [message] = site.playground.ledger.messages(team.chat_id)
    assert (found["state"], found["message_id"]) == ("sent", message.message_id)
    status, printed, _ = await send("status", "echo", found["id"])
    assert (status, printed.split()) == (0, [found["id"], "sent", message.message_id])

    picture = tmp_path / "a picture.png"
    picture.write_bytes(PNG)
    status, printed, errors = await send("echo", team.chat_id, "--file", str(picture), "--wait")
    assert (status, errors) == (0, "")
    [_, image] = site.playground.ledger.messages(team.chat_id)
    key = json.loads(image.content)["image_key"]
    assert site.playground.world.uploads[key].data == PNG

    status, printed, _ = await send("echo", "oc_nobody_knows", "x", "--wait")
    assert (status, "failed" in printed) == (1, True)
    status, _, errors = await send("nobody", team.chat_id, "x")
    assert (status, "there is no bot nobody" in errors) == (1, True)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    status, printed, _ = await send("echo", team.chat_id, "never", "--at", tomorrow, "--json")
    assert status == 0
    status, printed, _ = await send("cancel", "echo", json.loads(printed)["id"])
    assert (status, "cancelled" in printed) == (0, True)

    async with aiohttp.ClientSession(f"{hub.admin_url}/api/v1/", headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        for path, wanted in (("bots/echo/messages", 202), ("bots/other/messages", 403)):
            async with http.post(path, json={"to": team.chat_id, "text": "from a program"}) as answer:
                assert answer.status == wanted
        async with http.get("bots") as answer:
            assert answer.status == 403

    id = await site.asks("echo", team.chat_id)
    await until(lambda: len(said()) == 4)
    assert sorted(one for one in said() if "image" not in one) == [
        "from a handler",
        "from a program",
        "from the command",
    ]
    assert (await hub.api("GET", f"/bots/echo/messages/{id}"))["state"] == "sent"

    async with aiohttp.ClientSession() as http, http.get(f"{hub.admin_url}/metrics") as answer:
        page = await answer.text()
    assert 'hub_outbox_waiting{bot="echo"} 0.0' in page
    assert 'hub_outbox_age_seconds{bot="echo"} 0.0' in page
    # Nothing of what was said, and no token, stands in the log.
    log = hub.said()
    assert not any(word in log for word in ("from the command", "from a program", "from a handler", TOKEN))
