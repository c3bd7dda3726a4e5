"""What is done to the keys dies at each of its steps: nothing is half done for good, and it goes on from there."""

from __future__ import annotations

from typing import get_args

import pytest

from app.core.failpoint import KeyStep, ShredStep
from tests.system.hub_process import HubProcess, feishu_hub
from tests.system.world import Site

pytestmark = pytest.mark.faults


async def test_death_while_the_master_key_is_replaced(site: Site) -> None:
    site.bot("echo")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    await site.asks("echo", "kept words")
    where = ("-c", site.config, "--data-dir", hub.data_dir)
    message = await came_in(hub)
    key_file = hub.data_dir / "master.key"
    old_key = key_file.read_text().strip()
    assert await hub.stop() == 0

    # Without a hub: nobody else does what the dead one left.
    for step in get_args(KeyStep):
        command = {"new_master_key": "rotate", "old_master_key_out": "retire"}.get(step, "rewrap")
        died = site.root / step
        status, _, _ = await feishu_hub("keys", command, *where, env={"HUB_FAILPOINT": f"{step}:{died}"})
        assert (status, died.exists()) == (-9, True), step
        status, printed, error = await feishu_hub("messages", "show", str(message), "--why", "a test", *where)
        assert (status, "kept words" in printed) == (0, True), f"{step}: {error}"
    assert key_file.read_text().strip() != old_key
    assert len(key_file.read_text().split()) == 1
    await hub.start()
    assert await site.asks("echo", "again") == "echo again"


async def test_death_while_a_bot_is_shredded(site: Site) -> None:
    site.bot("echo")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    await site.asks("echo", "kept words")
    where = ("-c", site.config, "--data-dir", hub.data_dir)
    message = await came_in(hub)
    assert await hub.stop() == 0
    for step in get_args(ShredStep):
        failing = {"HUB_FAILPOINT": f"{step}:{site.root / step}"}
        status, _, _ = await feishu_hub("keys", "shred", "echo", "--yes", *where, env=failing)
        assert status == -9, step
    # Once it has begun there is no way back, and it can be said again until it is done.
    status, printed, error = await feishu_hub("messages", "show", str(message), "--why", "a test", *where)
    assert (status, "kept words" in printed) == (1, False), error
    status, _, error = await feishu_hub("keys", "shred", "echo", "--yes", *where)
    assert status == 0, error
    await hub.start()
    assert await site.asks("echo", "anew") == "echo anew"


async def came_in(hub: HubProcess) -> int:
    """The id of the message that was answered, once both are stored."""
    [number] = [row["id"] for row in await hub.stored("echo", 2) if row["direction"] == "in"]
    return int(number)
