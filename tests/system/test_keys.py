"""The keys of a hub that runs: a new master key, a shredded bot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.hub_process import HubProcess, feishu_hub
from tests.system.world import Site
from tests.waiting import until

pytestmark = pytest.mark.system


async def keys(site: Site, hub: HubProcess, *arguments: str) -> str:
    """Run `feishu-hub keys` beside the hub; what it printed."""
    status, printed, error = await feishu_hub("keys", *arguments, "-c", site.config, "--data-dir", hub.data_dir)
    assert status == 0, error
    return printed


async def test_the_master_key_is_replaced_while_the_hub_runs(site: Site) -> None:
    site.bot("echo")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    assert await site.asks("echo", "before") == "echo before"
    key_file = hub.data_dir / "master.key"
    old_key = key_file.read_text().strip()

    async def status() -> Any:
        return json.loads(await keys(site, hub, "status", "--json"))

    [before] = (await status())["master_keys"]
    assert before["nodes"] == [(hub.data_dir / "node_id").read_text().strip()]
    printed = await keys(site, hub, "rotate")
    assert old_key not in printed
    assert await site.asks("echo", "between") == "echo between"

    async def retirable() -> bool:
        return bool((await status())["retirable"])

    await until(retirable, 10)
    assert before["master_key"] in await keys(site, hub, "retire")
    assert old_key not in key_file.read_text()
    # A bot that is new gets its data key under the new one.
    site.bot("late")
    site.point_at(hub)

    async def served() -> bool:
        return any(bot["id"] == "late" and bot["state"] == "ready" for bot in await hub.api("GET", "/bots"))

    await until(served, 10)
    assert await site.asks("late", "after") == "echo after"
    shown = await status()
    assert [row["master_key"] for row in shown["master_keys"]] != [before["master_key"]]
    assert len(shown["master_keys"]) == 1
    assert {row["bot"] for row in shown["data_keys"]} == {"echo", "late"}
    assert await hub.stop() == 0
    await hub.start()
    assert await site.asks("echo", "anew") == "echo anew"
    assert old_key not in hub.said()
    assert "Traceback" not in hub.said()
