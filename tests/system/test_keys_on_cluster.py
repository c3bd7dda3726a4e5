"""A bot's keys on a Redis Cluster: every primary is looked through, and writes its file anew."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis_files import until_idle
from app.storage.database import Database
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.storage.messages import Messages
from app.storage.shared_keys import SharedKeys
from app.storage.shred import Shredder
from app.storage.vault import DatabaseVault
from tests.hand_clock import HandClock
from tests.redis_servers import Server
from tests.system import test_redis_arrangements as arrangements
from tests.system.test_accept_on_cluster import one_each
from tests.system.test_keys import files_with
from tests.waiting import until

pytestmark = pytest.mark.system
cluster = arrangements.cluster


async def test_a_shredded_bot_is_on_no_node(cluster: list[Server], database_url: str, tmp_path: Path) -> None:
    keys, database = Keys(), Database(database_url, tmp_path)
    async with arrangements.linked(arrangements.cluster_url(cluster)) as link:
        await asyncio.gather(*(appended(server) for server in cluster))
        bots = [f"bot{number}" for number in range(6)]
        keyring = Keyring(MasterKey([new_key()], "the test"), link, keys, tmp_path / "keys")
        await keyring.preload(bots)
        for number in range(6):
            await link.commands.set(keys.state("bot0", str(number)), b"sealed")
        [wrapped] = KeyRecord.parse(await keyring.shared.get(keyring.shared.name("bot0"))).wrapped
        assert any(files_with(server.directory, wrapped) for server in cluster)
        vault, messages = DatabaseVault(database), Messages(database)
        done = await Shredder(keyring, vault, link, keys, tmp_path / "none", messages.shred).shred("bot0")
        assert (done.deleted, done.notes) == (6, ())
        await until(lambda: not any(files_with(server.directory, wrapped) for server in cluster))
        assert len(await keyring.shared.bots()) == 6
        await keyring.close()
    await database.close()


async def test_a_primary_that_hangs_keeps_nobody_from_the_keys_on_others(cluster: list[Server]) -> None:
    async with arrangements.linked(arrangements.cluster_url(cluster)) as link:
        await asyncio.gather(*(covers_what_it_has(server) for server in cluster))
        shared = SharedKeys(link, Keys(), clock=HandClock())
        away, *here = [shared.name(item.bot) for item in one_each(link)]
        for name in here:
            await link.commands.set(name, b"wrapped")
        cluster[0].signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await shared.get(away)
            assert [await shared.get(name) for name in here] == [b"wrapped"] * 2
            with pytest.raises(StoreUnavailable, match="a moment ago"):
                await shared.get(away)
        finally:
            cluster[0].signal(signal.SIGCONT)


async def covers_what_it_has(server: Server) -> None:
    """Have a server of a Cluster answer though another has failed."""
    async with arrangements.linked(server.url) as link:
        await link.commands.config_set("cluster-require-full-coverage", "no")


async def appended(server: Server) -> None:
    """Have a server keep an append-only file, as a hub wants it."""
    async with arrangements.linked(server.url) as link:
        await link.commands.config_set("appendonly", "yes")
        await until_idle(link)
