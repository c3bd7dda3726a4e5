"""What an operator sees and does while the hub runs: dead letters, numbers, and never what people wrote."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from typing import Any

import aiohttp
import pytest

from tests.system.hub_process import HubProcess, feishu_hub
from tests.system.world import Site
from tests.waiting import until

pytestmark = pytest.mark.system

FAILING = '''
"""Fails until it is let; what it fails with tells what was said, as careless code does."""
from pathlib import Path

from app.sdk import Bot, Context, Message

bot = Bot()
ROOT = Path({root!r})


@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    ctx.log.info("a line of the author's own", text=message.text)
    await ctx.state.chat.set("said", message.text)
    if not (ROOT / "well").exists():
        raise ValueError(f"cannot bear {{message.text}}")
    return f"echo {{message.text}}"
'''


@pytest.fixture
async def hub(site: Site) -> HubProcess:
    """A hub with a bot that fails and one that does not."""
    site.handler("failing", FAILING.format(root=str(site.root)))
    site.bot("failing", handler="failing", message={"retry_policy": {"max_attempts": 2, "backoff": "10ms"}})
    site.bot("echo")
    site.settings(region="cn-north")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    return hub


async def letters(hub: HubProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await hub.api("GET", "/bots/failing/dead")
    return found


async def bury(site: Site, hub: HubProcess, text: str) -> dict[str, Any]:
    """Have a message end in the dead letters; its letter."""
    before = len(await letters(hub))
    await site.says("failing", text)

    async def buried() -> bool:
        return len(await letters(hub)) > before

    await until(buried)
    return (await letters(hub))[0]


def recover(site: Site) -> None:
    (site.root / "well").touch()


async def test_dead_letters_by_the_command_line(site: Site, hub: HubProcess) -> None:
    async def dead(*arguments: str) -> tuple[int, str, str]:
        return await feishu_hub("dead", *arguments, "-c", site.config, "--data-dir", hub.data_dir)

    letter = await bury(site, hub, "first words")
    other = await bury(site, hub, "other words")
    status, printed, _ = await dead("list", "failing", "--json")
    assert status == 0
    assert [row["id"] for row in json.loads(printed)] == [other["id"], letter["id"]]
    assert "ValueError" in printed
    assert "words" not in printed
    status, printed, _ = await dead("list", "failing")
    assert status == 0
    assert letter["id"] in printed, "it is what `dead replay` is given"

    status, printed, _ = await dead("show", "failing", letter["id"], "--why", "it failed")
    assert status == 0
    assert "first words" in printed
    status, printed, _ = await feishu_hub("messages", "audit", "-c", site.config, "--data-dir", hub.data_dir, "--json")
    assert [(one["action"], one["which"], one["why"]) for one in json.loads(printed)] == [
        ("dead", letter["id"], "it failed")
    ]

    recover(site)
    status, printed, _ = await dead("replay", "failing", letter["id"])
    assert (status, printed) == (0, "1 replayed\n")
    chat = site.chat("failing")
    await until(lambda: [one for one in chat.messages if one.by_app])
    status, printed, _ = await dead("drop", "failing", "--all")
    assert (status, printed) == (0, "1 dropped\n")
    assert await letters(hub) == []
    status, _, error = await dead("show", "failing", letter["id"], "--why", "it failed")
    assert status == 1
    assert "dead list failing" in error
    await removed_bot_is_shown_until_it_is_dropped(site, hub)


async def removed_bot_is_shown_until_it_is_dropped(site: Site, hub: HubProcess) -> None:
    (site.root / "well").unlink()
    await bury(site, hub, "last words")
    shutil.rmtree(site.config / "failing")
    where = ("-c", site.config, "--data-dir", hub.data_dir)

    async def state() -> str:
        return next((one["state"] for one in await hub.api("GET", "/bots") if one["id"] == "failing"), "absent")

    async def shown_as(wanted: str) -> bool:
        return await state() == wanted

    await until(partial(shown_as, "removed"))
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await hub.api("POST", "/bots/failing/reload")
    assert refused.value.status == 404
    status, printed, error = await feishu_hub("bots", "list", "--json", *where)
    assert (status, error) == (0, "")
    found = {one["id"]: one for one in json.loads(printed)}
    assert (found["failing"]["state"], found["failing"]["dead"]) == ("removed", 1)
    assert found["echo"]["state"] == "ready"
    status, printed, _ = await feishu_hub("bots", "list", *where)
    assert status == 0
    assert "bots drop failing" in printed
    status, printed, error = await feishu_hub("bots", "drop", "failing", "--yes", *where)
    assert (status, error) == (0, "")
    assert printed == "dropped: 0 events, 1 dead letter, 0 messages to send\n"
    await until(partial(shown_as, "absent"))


async def health_says_where_it_is(hub: HubProcess) -> None:
    health = await hub.health()
    assert (health["status"], health["region"], health["quarantined"]) == ("ready", "cn-north", [])


async def api_wants_its_token(hub: HubProcess) -> None:
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            async with session.get(f"{hub.admin_url}/api/v1/bots", headers=headers) as answer:
                assert answer.status == 401
                assert (await answer.json())["error"]["code"] == "not_allowed"
        async with session.get(f"{hub.url}/metrics") as answer:
            assert answer.status == 404, "the public listener has none of the admin's pages"


async def test_dead_letters_by_the_api(site: Site, hub: HubProcess) -> None:
    await health_says_where_it_is(hub)
    await api_wants_its_token(hub)
    letter = await bury(site, hub, "first words")
    other = await bury(site, hub, "other words")
    assert "words" not in json.dumps(await letters(hub))
    assert letter["starts"] == 2
    shown = await hub.api("GET", f"/bots/failing/dead/{letter['id']}?why=it+failed")
    assert "first words" in json.dumps(shown["event"])

    recover(site)
    await hub.api("POST", f"/bots/failing/dead/{letter['id']}/replay")
    chat = site.chat("failing")
    await until(lambda: [one for one in chat.messages if one.by_app])
    await hub.api("DELETE", f"/bots/failing/dead/{other['id']}")
    assert await letters(hub) == []
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        await hub.api("DELETE", f"/bots/failing/dead/{other['id']}")
    assert refused.value.status == 404


async def metrics(hub: HubProcess) -> dict[str, float]:
    """Every sample of the metrics page by its name and labels."""
    async with aiohttp.ClientSession() as session, session.get(f"{hub.admin_url}/metrics") as answer:
        page = await answer.text()
    return {
        found[1]: float(found[2])
        for line in page.splitlines()
        if (found := re.fullmatch(r"([^#].*) ([0-9.e+-]+)", line))
    }


async def test_metrics_count_in_all_processes(site: Site, hub: HubProcess) -> None:
    for number in range(3):
        await site.asks("echo", str(number))
    await bury(site, hub, "words")

    async def counted() -> bool:
        numbers = await metrics(hub)
        return numbers.get('hub_events_handled_total{bot="echo",outcome="done"}') == 3.0

    await until(counted)
    numbers = await metrics(hub)
    assert numbers['hub_events_accepted_total{bot="echo"}'] == 3
    assert numbers['hub_events_handled_total{bot="failing",outcome="failed"}'] == 2
    assert numbers['hub_sends_total{api="im.message.reply",bot="echo",outcome="sent"}'] == 3
    assert numbers['hub_handle_seconds_count{bot="echo"}'] == 3
    assert numbers['hub_dead_letters{bot="failing"}'] == 1
    assert numbers["hub_accept_seconds_count"] == 4
    assert numbers["hub_redis_up"] == 1

    async def one_worker() -> bool:
        return (await metrics(hub))["hub_worker_processes"] == 1

    await until(one_worker)  # on a busy machine a successor stood beside it
