"""The keys of a hub that runs: a new master key, a shredded bot."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from app.core.redis import RedisLink, connect
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
        shown = await status()
        return bool(shown["retirable"]) and shown["master_keys"][0]["rewrapped"] == before["nodes"]

    await until(retirable, rest=0.5)
    assert before["master_key"] in await keys(site, hub, "retire")
    assert old_key not in key_file.read_text()
    # A bot that is new gets its data key under the new one.
    site.bot("late")
    site.point_at(hub)

    async def served() -> bool:
        return any(bot["id"] == "late" and bot["state"] == "ready" for bot in await hub.api("GET", "/bots"))

    await until(served)
    assert await site.asks("late", "after") == "echo after"
    shown = await status()
    assert [row["master_key"] for row in shown["master_keys"]] != [before["master_key"]]
    assert len(shown["master_keys"]) == 1
    assert {row["bot"] for row in shown["data_keys"]} == {"echo", "late"}
    assert (await hub.api("GET", "/keys"))["master_keys"] == shown["master_keys"]
    assert await hub.stop() == 0
    await hub.start()
    assert await site.asks("echo", "anew") == "echo anew"
    assert old_key not in hub.said()
    assert "Traceback" not in hub.said()


@pytest.fixture
async def links() -> AsyncIterator[Callable[[str], Awaitable[RedisLink]]]:
    """Ways to engines, closed afterwards."""
    async with AsyncExitStack() as closing:

        async def link_to(url: str) -> RedisLink:
            link = await connect(url)
            closing.push_async_callback(link.close)
            return link

        yield link_to


async def test_a_shredded_bot_cannot_be_read_any_more_and_begins_anew(
    site: Site, links: Callable[[str], Awaitable[RedisLink]]
) -> None:
    for bot in ("echo", "other"):
        site.bot(bot)
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    where = ("-c", site.config, "--data-dir", hub.data_dir)
    for bot in ("echo", "other"):
        assert await site.asks(bot, "kept words") == "echo kept words"

    messages = {bot: (await hub.stored(bot, 2))[0]["id"] for bot in ("echo", "other")}
    names = {bot: f"hub:{{{bot}}}:key" for bot in ("echo", "other")}
    link = await links(hub.engine_url)
    wrapped = {bot: cast(bytes, await link.commands.get(name)) for bot, name in names.items()}
    assert files_with(hub.data_dir, wrapped["echo"]) != []
    # A node with a database of its own, which no command reaches.
    other_env = {"HUB_REDIS_URL": hub.engine_url, "HUB_MASTER_KEY_FILE": str(hub.data_dir / "master.key")}
    other = site.hub("other", env={**other_env, "HUB_DATABASE_URL": "sqlite", "HUB_ROLES": "gateway"})
    await other.start()
    await until(lambda: [name for name in files_with(other.data_dir, wrapped["echo"]) if name.startswith("hub.db")])

    status, _, _ = await feishu_hub("keys", "shred", "echo", *where)
    assert status == 1, "it was not confirmed"
    assert "shredded" in await keys(site, hub, "shred", "echo", "--yes")
    # Redis deletes the file that it has replaced a moment later.
    await until(lambda: files_with(hub.data_dir, wrapped["echo"]) == [])
    await until(lambda: files_with(other.data_dir, wrapped["echo"]) == [])
    assert await other.stop() == 0
    for one in (hub, other):
        assert files_with(one.data_dir, wrapped["other"]) != []
    left = {name.decode().removeprefix("hub:{echo}:") async for name in link.commands.scan_iter(match="hub:{echo}:*")}
    # The stream is there again, empty, for who waits on it; the sweep has been round.
    assert {name for name in left if "swept:" not in name} <= {"key", "fence", "log"}

    status, printed, _ = await feishu_hub("messages", "show", str(messages["echo"]), "--why", "a test", *where)
    assert status == 1
    assert "kept words" not in printed
    assert "its content was shredded" in printed
    status, printed, _ = await feishu_hub("messages", "show", str(messages["other"]), "--why", "a test", *where)
    assert (status, "kept words" in printed) == (0, True)

    assert await site.asks("echo", "a new beginning") == "echo a new beginning"
    assert await site.asks("other", "as before") == "echo as before"
    assert hub.said().count("data key of a bot was shredded") >= 2, "node and worker are told"
    assert await hub.stop() == 0
    await hub.start()
    assert await site.asks("echo", "later") == "echo later"
    assert "Traceback" not in hub.said()


def files_with(data_dir: Path, secret: bytes) -> list[str]:
    """The files in which it stands; those that vanish meanwhile do not count."""
    found = []
    for path in data_dir.rglob("*"):
        try:
            if path.is_file() and secret in path.read_bytes():
                found.append(path.name)
        except FileNotFoundError:
            continue
    return found
