"""A new master key in place of the old one, while everything stays readable at every step."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.clock import SystemClock
from app.core.ending import ended
from app.core.errors import HubError, StartError
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.storage.data_key import make
from app.storage.database import Database
from app.storage.key_check import check_master
from app.storage.key_record import KeyRecord
from app.storage.key_upkeep import KeyUpkeep
from app.storage.keyring import Keyring
from app.storage.master_key import KEYS_DIRECTORY, MasterKey, load_master, new_key
from app.storage.rewrap import Rewrap
from app.storage.rotation import Rotation
from app.storage.vault import DatabaseVault
from tests.waiting import until

BOTS = ("echo", "support")


class Hasty(SystemClock):
    """Waits for nothing long, and time goes as it does: what is done once a minute is done once."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.005))


@dataclass
class Node:
    """A node with its keyring and what rotates its master key."""

    data_dir: Path
    keyring: Keyring
    vault: DatabaseVault
    without: list[str]
    """Nodes that do not hold the new key."""
    behind: list[str]
    """Nodes that have not wrapped their copies under it."""

    @property
    def rewrap(self) -> Rewrap:
        return Rewrap(self.keyring, self.vault)

    async def left_behind(self, _key_id: str) -> Sequence[str]:
        return self.behind

    async def lacking(self, _key_id: str) -> Sequence[str]:
        return self.without

    @property
    def rotation(self) -> Rotation:
        return Rotation(self.keyring, self.rewrap, self.lacking, self.left_behind)

    @property
    def first(self) -> str:
        return self.keyring.master.ids[0]

    @property
    def file(self) -> list[str]:
        return (self.data_dir / "master.key").read_text().split()


@pytest.fixture
async def node(link: RedisLink, keys: Keys, database: Database, tmp_path: Path) -> AsyncIterator[Node]:
    node = started(link, keys, database, tmp_path / "node")
    await check_master(node.keyring)
    await node.keyring.preload(BOTS)
    await until(lambda: node.keyring.unsaved == 0)
    yield node
    await node.keyring.close()


def started(link: RedisLink, keys: Keys, database: Database, data_dir: Path) -> Node:
    master = load_master(None, data_dir, may_create=True)
    vault = DatabaseVault(database)
    return Node(data_dir, Keyring(master, link, keys, data_dir / KEYS_DIRECTORY, vault), vault, [], [])


async def test_a_rotation_leaves_nothing_under_the_old_key(
    node: Node, link: RedisLink, keys: Keys, database: Database
) -> None:
    old = node.first
    [old_key] = node.file
    sealed = (await node.keyring.cipher("echo")).seal(b"x", b"1")
    before = await node.rewrap.count()
    assert (before.redis[old], before.database[old], before.files[old], before.proof) == (2, 2, 2, old)

    new = await node.rotation.begin()
    assert node.file[1:] == [old_key]
    assert stat.S_IMODE((node.data_dir / "master.key").stat().st_mode) == 0o600
    assert await node.rotation.finish() == 7
    after = await node.rewrap.count()
    assert after.other_than(new) == 0
    assert (after.redis[new], after.database[new], after.files[new], after.proof) == (2, 2, 2, new)
    assert await node.rotation.finish() == 0

    assert await node.rotation.retire() == (old,)
    assert old_key not in node.file
    assert len(node.file) == 1
    later = started(link, keys, database, node.data_dir)
    await check_master(later.keyring)
    assert (await later.keyring.cipher("echo")).open(sealed, b"1") == b"x"
    await later.keyring.close()
    foreign = Keyring(MasterKey([old_key], "old"), link, keys, node.data_dir / "elsewhere")
    with pytest.raises(StartError):
        await check_master(foreign)


async def test_what_runs_meanwhile_takes_the_new_key_up_when_it_meets_it(
    node: Node, link: RedisLink, keys: Keys, database: Database
) -> None:
    worker = started(link, keys, database, node.data_dir).keyring
    new = await node.rotation.begin()
    await node.rotation.finish()
    assert worker.master.ids != (new,)
    cipher = await worker.cipher("echo")
    assert cipher.open((await node.keyring.cipher("echo")).seal(b"x", b"1"), b"1") == b"x"
    assert worker.master.ids[0] == new
    # Nor does one that knew the old key only make a key under it.
    idle = started(link, keys, database, node.data_dir).keyring
    await node.rotation.retire()
    await idle.cipher("new-bot")
    assert (await node.rewrap.count()).other_than(new) == 0
    for keyring in (worker, idle):
        await keyring.close()


async def test_an_old_key_that_is_still_used_stays(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    await node.rotation.begin()
    with pytest.raises(HubError, match="7 copies are still wrapped under an old"):
        await node.rotation.retire()
    await node.rotation.finish()
    monkeypatch.setattr("app.storage.rotation._PATIENCE", 0.0)
    node.behind.append("node-7")
    with pytest.raises(HubError, match=r"does not wrap yet: node-7\."):
        await node.rotation.retire()
    assert len(node.file) == 2
    # A copy under a key that is long gone is no reason to keep this one.
    node.behind.clear()
    stray = make(MasterKey([new_key()], "gone"), "echo")
    await node.keyring.files.write("echo", KeyRecord((stray, *node.keyring.files.of("echo").wrapped)))
    assert len(await node.rotation.retire()) == 1
    assert len(node.file) == 1


async def test_nothing_is_wrapped_under_a_key_that_a_living_node_lacks(node: Node, monkeypatch: Any) -> None:
    monkeypatch.setattr("app.storage.rotation._PATIENCE", 0.0)
    old = node.first
    await node.rotation.begin()
    node.without.append("node-7")
    with pytest.raises(HubError, match=r"do not hold master key .*: node-7"):
        await node.rotation.finish()
    assert (await node.rewrap.count()).other_than(old) == 0
    node.without.clear()
    assert await node.rotation.finish() == 7


async def test_a_rotation_that_is_not_over_is_not_begun_again(node: Node) -> None:
    await node.rotation.begin()
    held = node.file
    with pytest.raises(HubError, match="the last rotation is not over"):
        await node.rotation.begin()
    assert node.file == held


async def test_a_key_of_the_environment_is_left_to_the_operator(node: Node, link: RedisLink, keys: Keys) -> None:
    keyring = Keyring(MasterKey(node.file, "master_key (HUB_MASTER_KEY)"), link, keys, node.data_dir)
    rotation = Rotation(keyring, node.rewrap, node.lacking, node.left_behind)
    for step in (rotation.begin, rotation.retire):
        with pytest.raises(HubError, match=r"HUB_MASTER_KEY\), which only you can change. 1\. "):
            await step()


async def test_a_running_node_wraps_anew_by_itself(node: Node) -> None:
    upkeep = KeyUpkeep(node.keyring, node.rewrap, node.lacking, clock=Hasty())
    old = node.first
    (node.data_dir / "master.key").write_text(f"{new_key()}\n{node.file[0]}\n")
    node.without.append("node-7")
    running = asyncio.create_task(upkeep.run())
    await until(lambda: node.first != old)
    assert upkeep.says == {"master_keys": f"{node.first},{old}", "rewrapped": "0"}
    assert (await node.rewrap.count()).other_than(old) == 0
    node.without.clear()
    await until(lambda: upkeep.says["rewrapped"] == "1")
    assert (await node.rewrap.count()).other_than(node.first) == 0
    await ended(running)


async def test_a_key_file_that_was_spoilt_changes_nothing(node: Node) -> None:
    ids = node.keyring.master.ids
    (node.data_dir / "master.key").write_text("no key at all")
    with capture_logs() as logs:
        for _ in range(3):
            assert not node.keyring.master.read_again()
    assert node.keyring.master.ids == ids
    assert [line["log_level"] for line in logs] == ["error"]
    assert "no key at all" not in str(logs)


async def test_a_wrong_master_key_that_a_restored_backup_met_first_is_not_held_for_the_cluster_s(
    link: RedisLink, keys: Keys, tmp_path: Path
) -> None:
    await link.commands.set(keys.bot("echo", "key"), KeyRecord(absent=frozenset({b"abcd"})).packed())
    wrong, right = (Keyring(MasterKey([new_key()], name), link, keys, tmp_path / name) for name in ("a", "b"))
    for keyring in (wrong, right, wrong, right):
        await check_master(keyring)
    # From the first key that is wrapped on there is one that is right.
    await right.cipher("other")
    with pytest.raises(StartError, match="is not the cluster's"):
        await check_master(wrong)
