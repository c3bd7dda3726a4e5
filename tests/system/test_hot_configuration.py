"""Directories of bots come, change, break and go while the hub runs, and no other bot notices."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import yaml

from tests.system.hub_process import HubProcess, feishu_hub
from tests.system.world import CODE, Site
from tests.waiting import until

pytestmark = pytest.mark.system


@pytest.fixture
async def hub(site: Site) -> AsyncIterator[HubProcess]:
    """A hub that serves `old` and `other`."""
    site.bot("old")
    site.bot("other")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    assert await site.asks("old", "1") == "echo 1"
    workers = {process.pid for process in hub.children()["worker"]}
    yield hub
    assert await site.asks("other", "still here") == "echo still here"
    assert {process.pid for process in hub.children()["worker"]} == workers, "a change of one bot ended a worker"


async def state(hub: HubProcess, bot: str) -> dict[str, Any]:
    found = [one for one in await hub.api("GET", "/bots") if one["id"] == bot]
    return found[0] if found else {"state": "absent"}


async def answers(hub: HubProcess, bot: str) -> int:
    """What a request to the bot that proves nothing is answered: 404 where there is no such bot."""
    async with aiohttp.ClientSession() as session, session.post(f"{hub.url}/webhook/{bot}", data=b"{}") as answer:
        return answer.status


async def test_directories_come_break_go_and_change(site: Site, hub: HubProcess) -> None:
    """One after the other in one hub, as in its life."""
    await new_directory_is_served(site, hub)
    await broken_directory_keeps_its_last_good_version(site, hub)
    await broken_handler_of_a_new_bot_is_its_own_trouble(site, hub)
    await removed_bot_answers_404_and_keeps_its_mail(site, hub)
    await changed_directory_takes_effect(site, hub)


async def new_directory_is_served(site: Site, hub: HubProcess) -> None:
    site.handler("shout", CODE.replace('f"echo {message.text}"', "message.text.upper()"))
    assert await answers(hub, "new") == 404
    site.bot("new", handler="shout")
    site.point_at(hub)

    async def served() -> bool:
        return str((await state(hub, "new"))["state"]) == "ready"

    await until(served)
    assert await site.asks("new", "hello") == "HELLO"


async def changed_directory_takes_effect(site: Site, hub: HubProcess) -> None:
    site.handler("shout", CODE.replace('f"echo {message.text}"', "message.text.upper()"))
    (site.config / "old" / "config.yaml").write_text(yaml.safe_dump({"handler": "shout"}))

    async def shouts() -> bool:
        return await site.asks("old", "hello") == "HELLO"

    await until(shouts)


async def removed_bot_answers_404_and_keeps_its_mail(site: Site, hub: HubProcess) -> None:
    shutil.move(site.config / "old", site.root / "away")

    async def gone() -> bool:
        return await answers(hub, "old") == 404

    await until(gone)
    shutil.move(site.root / "away", site.config / "old")

    async def back() -> bool:
        return await answers(hub, "old") != 404

    await until(back)
    assert await site.asks("old", "2") == "echo 2"


async def broken_directory_keeps_its_last_good_version(site: Site, hub: HubProcess) -> None:
    (site.config / "old" / "config.yaml").write_text("handler: repeat\ntimeout: never\nno_such_key: 1\n")

    async def broken() -> bool:
        return bool((await state(hub, "old"))["faults"])

    await until(broken)
    faults = " ".join((await state(hub, "old"))["faults"])
    assert "timeout" in faults
    assert "no_such_key" in faults
    assert await site.asks("old", "2") == "echo 2"
    listing = ("bots", "list", "--json", "-c", site.config, "--data-dir", hub.data_dir)
    _, listed, _ = await feishu_hub(*listing, env={"HUB_ADMIN_PORT": str(hub.admin_port)})
    [row] = [row for row in json.loads(listed) if row["id"] == "old"]
    assert (row["state"], len(row["faults"])) == ("outdated", 2)
    (site.config / "old" / "config.yaml").write_text("handler: repeat\n")

    async def mended() -> bool:
        return not (await state(hub, "old"))["faults"]

    await until(mended)


async def broken_handler_of_a_new_bot_is_its_own_trouble(site: Site, hub: HubProcess) -> None:
    site.handler("broken", "import no_such_module\n")
    site.bot("newer", handler="broken")
    site.point_at(hub)

    async def known() -> bool:
        return str((await state(hub, "newer"))["state"]) != "absent"

    await until(known)
    assert await site.asks("old", "2") == "echo 2"
