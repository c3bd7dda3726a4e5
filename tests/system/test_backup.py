"""A backup that is made while the hub runs, and a hub that goes on from it."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import cast

import psutil
import pytest

from app.core.redis import connect
from app.storage.key_record import KeyRecord
from tests.system.hub_process import HubProcess, feishu_hub
from tests.system.test_keys import files_with
from tests.system.world import Site
from tests.waiting import until

# A backup is of the embedded arrangement; PostgreSQL has tools of its own.
embedded = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
pytestmark = [pytest.mark.system, embedded]


async def command(hub: HubProcess, *arguments: str | Path) -> str:
    status, printed, error = await feishu_hub(*arguments, "-c", hub.config, "--data-dir", hub.data_dir)
    assert status == 0, error
    return printed


async def refused(hub: HubProcess, *arguments: str | Path) -> str:
    status, _, error = await feishu_hub(*arguments, "-c", hub.config, "--data-dir", hub.data_dir)
    assert status == 1
    return error


async def test_a_backup_without_keys_is_whole_with_them(site: Site) -> None:
    """Messages and what waits in queue and spool come back; nothing does without the data keys."""
    site.bot("echo")
    site.bot("slow", handler="broken")
    site.handler("broken", "import nowhere")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    assert await site.asks("echo", "kept words") == "echo kept words"
    message = str((await hub.stored("echo", 2))[0]["id"])
    waits = await site.says("slow", "waits in the queue")
    made, exported = site.root / "backup.tar.gz", site.root / "exported.json"
    await command(hub, "backup", made)
    assert "there already" in await refused(hub, "backup", made)
    await command(hub, "keys", "export", exported)
    assert (made.stat().st_mode | exported.stat().st_mode) & 0o077 == 0
    assert not (hub.data_dir / "backup.scratch").exists()
    assert not list((hub.data_dir / "engine").glob("*.rdb"))
    assert "is not empty" in await refused(hub, "restore", made)
    # The disk of the spool has an event that the engine has never seen; the hub dies.
    [engine] = hub.children()["engine"]
    engine.suspend()
    spooled = await site.says("echo", "waits in the spool")
    assert spooled.deliveries[0].acked
    await hub.kill()
    engine.kill()
    await until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)
    second = site.root / "second"
    await command(hub, "backup", second)

    unpacked = site.root / "unpacked"
    with tarfile.open(made) as tar:
        tar.extractall(unpacked, filter="data")
    secrets = [key for keys in json.loads(exported.read_text())["keys"].values() for key in keys]
    assert len(secrets) == 2
    secrets += [(hub.data_dir / name).read_text().strip() for name in ("master.key", "admin_token")]
    for secret in secrets:
        assert files_with(hub.data_dir, secret.encode()) != [], "it can be found where it is"
        assert files_with(unpacked, secret.encode()) + files_with(second, secret.encode()) == []

    after = site.hub("after")
    (unpacked / "hub.db").write_bytes((unpacked / "hub.db").read_bytes() + b"!")
    assert "was changed since" in await refused(after, "restore", unpacked)
    await command(after, "restore", made)
    assert "master.key is missing" in await refused(after, "keys", "import", exported)
    shutil.copy(hub.data_dir / "master.key", after.data_dir)
    # Without its data key the bot does not begin anew by itself: what waits would be lost.
    assert "keys import" in await refused(after, "messages", "show", message, "--why", "a test")
    assert "2 data keys taken" in await command(after, "keys", "import", exported)
    assert "kept words" in await command(after, "messages", "show", message, "--why", "a test")
    site.handler("broken", (site.bots_dir / "repeat.py").read_text())
    await after.start()
    site.point_at(after)
    await until(lambda: site.replies(waits))
    assert site.replies(waits) == ["echo waits in the queue"]
    assert site.replies(spooled) == []
    assert await site.asks("echo", "goes on") == "echo goes on"
    assert await after.stop() == 0

    later = site.hub("later")
    await command(later, "restore", second)
    shutil.copy(hub.data_dir / "master.key", later.data_dir)
    await command(later, "keys", "import", exported)
    await later.start()
    await until(lambda: site.replies(spooled))
    await until(later.is_idle)
    assert site.replies(spooled) == ["echo waits in the spool"]
    assert site.replies(waits) == ["echo waits in the queue"], "answered by the first, and not once more"


async def test_shredding_reaches_the_backups(site: Site) -> None:
    for bot in ("echo", "other"):
        site.bot(bot)
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    messages = {}
    for bot in ("echo", "other"):
        await site.asks(bot, f"kept words of {bot}")
        messages[bot] = str((await hub.stored(bot, 2))[0]["id"])
    old, new = site.root / "old.json", site.root / "new.json"
    await command(hub, "keys", "export", old)
    await command(hub, "backup", site.root / "before")
    await command(hub, "keys", "shred", "echo", "--yes")
    await command(hub, "keys", "export", new)
    await command(hub, "backup", site.root / "backup")
    assert (
        "not brought back" in (await feishu_hub("keys", "import", old, "-c", hub.config, "--data-dir", hub.data_dir))[2]
    )
    await hub.stop()

    after = site.hub("after")
    await command(after, "restore", site.root / "backup")
    shutil.copy(hub.data_dir / "master.key", after.data_dir)
    # The backup knows that the key is gone, so that an export from before does not bring it back.
    assert "1 data keys taken" in await command(after, "keys", "import", old)
    await after.start()
    link = await connect(after.engine_url)
    try:
        record = KeyRecord.parse(cast(bytes, await link.commands.get("hub:{echo}:key")))
    finally:
        await link.close()
    assert len(record.destroyed) == 1
    await after.stop()

    # One from before still holds what was said, and no export of now opens it.
    earlier = site.hub("earlier")
    await command(earlier, "restore", site.root / "before")
    shutil.copy(hub.data_dir / "master.key", earlier.data_dir)
    assert "1 data keys taken" in await command(earlier, "keys", "import", new)
    assert "kept words of other" in await command(earlier, "messages", "show", messages["other"], "--why", "a test")
    where = ("-c", earlier.config, "--data-dir", earlier.data_dir)
    status, printed, error = await feishu_hub("messages", "show", messages["echo"], "--why", "a test", *where)
    assert (status, "kept words" in printed + error) == (1, False)


async def test_a_backup_from_before_the_master_key_was_replaced(site: Site) -> None:
    site.bot("echo")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    await site.asks("echo", "kept words")
    message = str((await hub.stored("echo", 2))[0]["id"])
    made, exported, old_key = (site.root / name for name in ("backup.tar", "exported.json", "old.key"))
    shutil.copy(hub.data_dir / "master.key", old_key)
    await command(hub, "backup", made)
    await command(hub, "keys", "rotate")
    assert "older exports need it" in await command(hub, "keys", "retire")
    await command(hub, "keys", "export", exported)
    assert await hub.stop() == 0

    after = site.hub("after")
    await command(after, "restore", made)
    # The wrong one first: it is not kept for the cluster's.
    shutil.copy(old_key, after.data_dir / "master.key")
    assert "master key of that time" in await refused(after, "keys", "import", exported)
    shutil.copy(hub.data_dir / "master.key", after.data_dir)
    assert "1 data keys taken" in await command(after, "keys", "import", exported)
    assert "kept words" in await command(after, "messages", "show", message, "--why", "a test")
    shutil.copy(old_key, after.data_dir / "master.key")
    assert "is not the cluster's" in await refused(after, "keys", "status")
