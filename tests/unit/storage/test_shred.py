"""A shredded data key is nowhere any more, and comes back from nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.core.ending import ended
from app.core.errors import HubError, SealBroken, StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.storage.data_key import make, unwrap
from app.storage.database import Database
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.storage.messages import Messages
from app.storage.shred import Shredder
from app.storage.shred_news import ShredNews
from app.storage.vault import DatabaseVault
from tests.unit.storage.house import QuickClock
from tests.waiting import until


class Site:
    """Two nodes with one Redis and one database; the second is not always there."""

    def __init__(self, master: MasterKey, link: RedisLink, keys: Keys, database: Database, root: Path) -> None:
        self.master, self.link, self.keys, self.database, self.root = master, link, keys, database, root
        self.vault = DatabaseVault(database)
        self.here = self.node("here")
        self.there = self.node("there")

    def node(self, name: str) -> Keyring:
        return Keyring(self.master, self.link, self.keys, self.root / name, self.vault)

    @property
    def shredder(self) -> Shredder:
        return Shredder(
            self.here, self.vault, self.link, self.keys, self.root, Messages(self.database).shred, clock=QuickClock()
        )

    async def record(self, bot: str) -> KeyRecord:
        return KeyRecord.parse(await self.here.shared.get(self.keys.bot(bot, "key")))


@pytest.fixture
async def site(
    master: MasterKey, link: RedisLink, keys: Keys, database: Database, tmp_path: Path
) -> AsyncIterator[Site]:
    site = Site(master, link, keys, database, tmp_path)
    for node in (site.here, site.there):
        await node.preload(["echo", "support"])
    await until(lambda: site.here.unsaved == site.there.unsaved == 0)
    yield site
    for node in (site.here, site.there):
        await node.close()


@pytest.mark.usefixtures("no_key_without_ttl")
async def test_nothing_of_the_key_is_left_anywhere(site: Site) -> None:
    cipher = await site.here.cipher("echo")
    sealed = cipher.seal(b"x", b"1")
    [wrapped] = (await site.record("echo")).wrapped
    await site.link.commands.set(site.keys.state("echo", "chat:oc_1:n"), sealed)
    await site.link.commands.set(site.keys.state("support", "chat:oc_1:n"), sealed)
    fences = [site.keys.bot("echo", "fence"), site.keys.outbox().bot("echo", "fence")]
    for fence in fences:
        await site.link.commands.set(fence, 7)
    left = site.root / "backup.scratch" / "copy"
    left.mkdir(parents=True)
    dump = site.root / "engine" / "dump.rdb"
    dump.parent.mkdir()
    draft = site.here.files.directory / ".echo.key.1234abcd.new"
    for path in (left / "of-a-backup-that-was-killed", dump, draft):
        path.write_bytes(wrapped)

    done = await site.shredder.shred("echo")
    assert done.keys == (cipher.current_id.hex(),)
    assert done.deleted == 1
    gone = frozenset({cipher.current_id})
    assert await site.record("echo") == KeyRecord(destroyed=gone)
    assert await site.vault.of("echo") == KeyRecord(destroyed=gone)
    assert site.here.files.of("echo") == KeyRecord(destroyed=gone)
    assert await site.link.commands.exists(site.keys.state("support", "chat:oc_1:n"))
    assert await site.link.commands.exists(*fences) == 2, "numbers that must never go back"
    assert (await site.record("support")).wrapped
    assert [path for path in (left, dump, draft) if path.exists()] == []
    if site.database.sqlite:
        await site.database.close()
        files = [path for path in site.root.iterdir() if path.is_file() and "hub.db" in path.name]
        assert files
        assert [path.name for path in files if wrapped in path.read_bytes()] == []

    # A bot that goes on begins anew.
    again = await site.here.cipher("echo")
    assert again.current_id != cipher.current_id
    assert (await site.record("echo")).destroyed == gone
    with pytest.raises(SealBroken):
        again.open(sealed, b"1")


@pytest.mark.parametrize(
    "place", ["redis", "redis mark", "wanting", "file", "file mark", "database", "database mark", "unopened"]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_key_that_one_place_alone_knows_is_shredded_everywhere(site: Site, place: str) -> None:
    lost = unwrap(site.master, "echo", make(site.master, "echo"))
    ids = frozenset({lost.key_id})
    held = await site.record("echo")
    name = site.keys.bot("echo", "key")
    match place:
        case "redis":
            await site.link.commands.set(name, replace(held, wrapped=(*held.wrapped, lost.wrapped)).packed())
        case "redis mark":
            await site.link.commands.set(name, replace(held, destroyed=ids).packed())
        case "wanting":
            await site.link.commands.set(name, replace(held, absent=ids).packed())
        case "file":
            await site.here.files.write("echo", KeyRecord((lost.wrapped,)))
        case "file mark":
            await site.here.files.write("echo", KeyRecord(destroyed=ids))
        case "database":
            await site.vault.keep([lost])
        case "unopened":
            # Of a node that was away while the master key was replaced.
            await site.vault.keep([replace(lost, wrapped=make(MasterKey([new_key()], "gone"), "echo"))])
        case "database mark":
            await site.vault.destroy("echo", ids)
    gone = frozenset(bytes.fromhex(key_id) for key_id in (await site.shredder.shred("echo")).keys)
    assert ids < gone
    records = (await site.record("echo"), await site.vault.of("echo"), site.here.files.of("echo"))
    assert records == (KeyRecord(destroyed=gone),) * 3


async def test_who_listens_drops_it_at_once(site: Site) -> None:
    old = await site.there.cipher("echo")
    news = ShredNews(site.there, site.link, site.keys)
    told: list[tuple[str, frozenset[bytes]]] = []

    async def forget(bot: str, ids: frozenset[bytes]) -> None:
        told.append((bot, ids))

    news.tell(forget)
    running = asyncio.create_task(news.run())
    await until(lambda: channel_is_heard(site))
    await site.shredder.shred("echo")
    await until(lambda: told)
    assert told == [("echo", frozenset({old.current_id}))]
    assert site.there.cached("echo") is None
    assert site.there.files.of("echo").wrapped == ()
    assert site.there.cached("support") is not None
    await ended(running)


async def channel_is_heard(site: Site) -> bool:
    [(_, listeners)] = await site.link.commands.pubsub_numsub(site.keys.shreds)
    return int(listeners) > 0


async def test_a_node_that_was_away_does_not_bring_it_back(site: Site) -> None:
    old = await site.there.cipher("echo")
    await site.there.close()
    await site.shredder.shred("echo")
    assert site.there.files.of("echo").wrapped
    returned = site.node("there")
    cipher = await returned.cipher("echo")
    assert old.current_id not in cipher.key_ids
    assert returned.files.of("echo").destroyed == {old.current_id}
    assert old.current_id not in (await site.here.cipher("echo")).key_ids
    await returned.close()


async def test_a_node_that_was_away_purges_its_copy_of_a_bot_it_no_longer_serves(site: Site) -> None:
    await site.there.close()
    await site.shredder.shred("echo")
    returned = site.node("there")
    running = asyncio.create_task(ShredNews(returned, site.link, site.keys).run())
    await until(lambda: not returned.files.of("echo").wrapped)
    assert returned.files.of("support").wrapped
    await ended(running)


@pytest.mark.parametrize("kept_by", ["database", "file"])
async def test_an_emptied_redis_does_not_bring_it_back(site: Site, kept_by: str) -> None:
    old = await site.here.cipher("echo")
    stale = (await site.record("echo")).packed()
    await site.shredder.shred("echo")
    # Redis comes back from a dump of before, or empty.
    await site.link.commands.set(site.keys.bot("echo", "key"), stale)
    if kept_by == "database":
        site.here.files.path("echo").unlink()
        await site.link.commands.delete(site.keys.bot("echo", "key"))
    cipher = await site.here.cipher("echo")
    assert old.current_id not in cipher.key_ids
    assert old.current_id in (await site.record("echo")).destroyed


async def test_what_a_killed_one_left_is_done_by_the_next(site: Site) -> None:
    first = site.shredder
    cipher = await site.here.cipher("echo")
    await first._destroy_in_redis("echo", frozenset({cipher.current_id}))
    await site.link.commands.set(site.keys.state("echo", "x"), b"left")
    assert (await site.vault.of("echo")).wrapped
    done = await site.shredder.shred("echo")
    assert (done.keys, done.deleted) == ((cipher.current_id.hex(),), 1)
    assert not (await site.vault.of("echo")).wrapped


async def test_nothing_is_changed_while_the_database_is_away(site: Site) -> None:
    class Away(DatabaseVault):
        async def ids(self, bot: str) -> frozenset[bytes]:
            raise StoreUnavailable("away")

    away = Away(site.database)
    shredder = Shredder(
        site.here, away, site.link, site.keys, site.root, Messages(site.database).shred, clock=QuickClock()
    )
    with pytest.raises(StoreUnavailable):
        await shredder.shred("echo")
    assert (await site.record("echo")).wrapped


async def test_a_bot_that_has_no_key_is_named(site: Site) -> None:
    with pytest.raises(HubError, match="bot nobody has no data key"):
        await site.shredder.shred("nobody")


async def test_a_key_under_an_unknown_master_is_not_shredded_by_halves(site: Site, master: MasterKey) -> None:
    foreign = MasterKey([new_key()], "elsewhere")
    site.here.master = foreign
    with pytest.raises(HubError, match="open under no master key"):
        await site.shredder.shred("echo")
    site.here.master = master
    assert (await site.record("echo")).wrapped
