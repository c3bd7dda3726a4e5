"""One data key a bot in the whole cluster, wherever a node has to take it from."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from app.core.errors import SealBroken, StartError, StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.storage.data_key import DataKey
from app.storage.database import Database
from app.storage.key_check import check_master
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.storage.vault import DatabaseVault
from tests.waiting import PATIENCE, until


@pytest.fixture
async def dead_link(tmp_path: Path) -> AsyncIterator[RedisLink]:
    link = await connect(f"unix://{tmp_path}/no-redis-here.sock")
    yield link
    await link.close()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def modes(directory: Path) -> dict[str, int]:
    found = {".": directory, **{path.name: path for path in directory.iterdir()}}
    return {name: stat.S_IMODE(path.stat().st_mode) for name, path in found.items()}


class DeadVault(DatabaseVault):
    """A database that is away."""

    def __init__(self) -> None:
        self.asked = 0

    async def of(self, bot: str) -> KeyRecord:
        raise StoreUnavailable("away")

    async def some(self, limit: int) -> Sequence[tuple[str, KeyRecord]]:
        raise StoreUnavailable("away")

    async def keep(self, keys: Sequence[DataKey], opens: Callable[[bytes], object] = bool) -> None:
        self.asked += 1
        raise StoreUnavailable("away")


@pytest.mark.usefixtures("no_key_without_ttl")
async def test_a_key_is_made_once_and_cached_beside_the_node(
    master: MasterKey, link: RedisLink, keys: Keys, disk: Path
) -> None:
    keyring = Keyring(master, link, keys, disk)
    assert keyring.cached("echo") is None
    cipher = await keyring.cipher("echo")
    assert keyring.cached("echo") is cipher
    assert await keyring.cipher("echo") is cipher
    assert modes(disk) == {".": 0o700, "echo.key": 0o600}
    again = await Keyring(master, link, keys, disk).cipher("echo")
    assert again.open(cipher.seal(b"x", b"1"), b"1") == b"x"


async def test_nodes_that_race_agree_on_one_key(master: MasterKey, link: RedisLink, keys: Keys, tmp_path: Path) -> None:
    bots = [f"bot{number}" for number in range(20)]
    nodes = [Keyring(master, link, keys, tmp_path / f"node{number}") for number in range(5)]
    await asyncio.gather(*(node.preload(bots) for node in nodes))
    for bot in bots:
        ciphers = [await node.cipher(bot) for node in nodes]
        assert len({(cipher.current_id, cipher.key_ids) for cipher in ciphers}) == 1
        sealed = ciphers[0].seal(b"x", b"1")
        assert all(cipher.open(sealed, b"1") == b"x" for cipher in ciphers)
        assert len({(tmp_path / f"node{number}" / f"{bot}.key").read_bytes() for number in range(5)}) == 1


async def test_every_bot_has_a_key_of_its_own(master: MasterKey, link: RedisLink, keys: Keys, disk: Path) -> None:
    keyring = Keyring(master, link, keys, disk)
    echo, support = await keyring.cipher("echo"), await keyring.cipher("support")
    assert echo.key_ids != support.key_ids
    assert echo.derived(b"x") != support.derived(b"x"), "the keys themselves differ"


async def test_without_redis_the_nodes_own_copy_serves(
    master: MasterKey, link: RedisLink, dead_link: RedisLink, keys: Keys, disk: Path
) -> None:
    sealed = (await Keyring(master, link, keys, disk).cipher("echo")).seal(b"x", b"1")
    cut_off = Keyring(master, dead_link, keys, disk)
    assert (await cut_off.cipher("echo")).open(sealed, b"1") == b"x"
    with pytest.raises(StoreUnavailable, match=r"bot support: .*support\.key"):
        await cut_off.cipher("support")
    await cut_off.preload(["echo", "support"])
    assert cut_off.cached("echo") is not None
    assert cut_off.cached("support") is None


async def test_a_redis_that_lost_the_key_gets_it_back_from_the_disk(
    master: MasterKey, link: RedisLink, keys: Keys, disk: Path, tmp_path: Path
) -> None:
    sealed = (await Keyring(master, link, keys, disk).cipher("echo")).seal(b"x", b"1")
    await link.commands.delete(keys.bot("echo", "key"))
    assert (await Keyring(master, link, keys, disk).cipher("echo")).open(sealed, b"1") == b"x"
    stranger = await Keyring(master, link, keys, tmp_path / "other").cipher("echo")
    assert stranger.open(sealed, b"1") == b"x"


async def test_a_redis_that_lost_the_key_gets_it_back_from_the_database(
    master: MasterKey, link: RedisLink, keys: Keys, database: Database, tmp_path: Path
) -> None:
    vault = DatabaseVault(database)
    first = Keyring(master, link, keys, tmp_path / "one", vault)
    sealed = (await first.cipher("echo")).seal(b"x", b"1")

    async def saved() -> bool:
        return len((await vault.of("echo")).wrapped) == 1

    await until(saved)
    await first.close()
    await link.commands.delete(keys.bot("echo", "key"))
    second = Keyring(master, link, keys, tmp_path / "two", vault)
    assert (await second.cipher("echo")).open(sealed, b"1") == b"x"
    assert await link.commands.exists(keys.bot("echo", "key")) == 1
    await second.close()
    assert len((await vault.of("echo")).wrapped) == 1


async def test_an_old_key_that_only_the_database_knows_opens_after_a_refresh(
    master: MasterKey, link: RedisLink, keys: Keys, database: Database, tmp_path: Path
) -> None:
    vault = DatabaseVault(database)
    # Redis loses the key while database and disk are away: a second key has to be made.
    first = Keyring(master, link, keys, tmp_path / "one", vault)
    old = (await first.cipher("echo")).seal(b"old", b"1")
    await until(lambda: first.unsaved == 0)
    await first.close()
    await link.commands.delete(keys.bot("echo", "key"))
    second = Keyring(master, link, keys, tmp_path / "two", DeadVault())
    new = (await second.cipher("echo")).seal(b"new", b"2")
    await second.close()
    with pytest.raises(SealBroken, match="does not hold"):
        second.cached("echo").open(old, b"1")  # type: ignore[union-attr]

    third = Keyring(master, link, keys, tmp_path / "three", vault)
    cipher = await third.refresh("echo")
    assert (cipher.open(old, b"1"), cipher.open(new, b"2")) == (b"old", b"new")
    assert cipher.current_id == second.cached("echo").current_id  # type: ignore[union-attr]
    await third.close()
    # The node that had the old key keeps both, the shared one first.
    kept = await Keyring(master, link, keys, tmp_path / "one").cipher("echo")
    assert (kept.open(old, b"1"), kept.open(new, b"2")) == (b"old", b"new")
    assert kept.current_id == cipher.current_id


async def test_without_redis_a_refresh_takes_what_the_database_has(
    master: MasterKey, link: RedisLink, dead_link: RedisLink, keys: Keys, database: Database, tmp_path: Path
) -> None:
    vault = DatabaseVault(database)
    first = Keyring(master, link, keys, tmp_path / "one", vault)
    sealed = (await first.cipher("echo")).seal(b"x", b"1")
    await until(lambda: first.unsaved == 0)
    await first.close()
    cut_off = Keyring(master, dead_link, keys, tmp_path / "two", vault)
    assert (await cut_off.refresh("echo")).open(sealed, b"1") == b"x"


async def test_a_database_that_is_away_holds_nothing_up(
    master: MasterKey, link: RedisLink, keys: Keys, disk: Path
) -> None:
    vault = DeadVault()
    keyring = Keyring(master, link, keys, disk, vault)
    async with asyncio.timeout(PATIENCE):
        await keyring.cipher("echo")
    await until(lambda: vault.asked)
    await keyring.close()


async def test_a_database_that_hangs_is_given_a_second(
    master: MasterKey, link: RedisLink, keys: Keys, disk: Path
) -> None:
    class Hanging(DeadVault):
        async def of(self, bot: str) -> KeyRecord:
            await asyncio.Event().wait()
            return KeyRecord()

    keyring = Keyring(master, link, keys, disk, Hanging())
    async with asyncio.timeout(PATIENCE):
        assert (await keyring.cipher("echo")).bot == "echo"
    await keyring.close()


async def test_the_first_node_proves_its_master_key_and_the_others_are_held_to_it(
    master: MasterKey, link: RedisLink, keys: Keys, disk: Path, tmp_path: Path
) -> None:
    await check_master(Keyring(master, link, keys, disk))
    await check_master(Keyring(master, link, keys, tmp_path / "two"))
    await Keyring(master, link, keys, disk).cipher("echo")
    proof = await link.commands.get(keys.keycheck)
    wrapped = await link.commands.get(keys.bot("echo", "key"))

    wrong = Keyring(MasterKey([new_key()], "HUB_MASTER_KEY"), link, keys, tmp_path / "three")
    with pytest.raises(StartError, match=r"is not the cluster's.*Give this node the master key"):
        await check_master(wrong)
    with pytest.raises(StoreUnavailable, match="is not the cluster's"):
        await wrong.cipher("echo")
    assert await link.commands.get(keys.keycheck) == proof
    assert await link.commands.get(keys.bot("echo", "key")) == wrapped
    assert not (tmp_path / "three").exists()


async def test_an_emptied_redis_does_not_take_a_foreign_master_key(
    master: MasterKey, link: RedisLink, keys: Keys, disk: Path, database: Database, tmp_path: Path
) -> None:
    keyring = Keyring(master, link, keys, disk, DatabaseVault(database))
    await check_master(keyring)
    await keyring.cipher("echo")
    await until(lambda: keyring.unsaved == 0)
    await keyring.close()
    copy = (disk / "echo.key").read_bytes()
    await link.commands.delete(keys.keycheck, keys.bot("echo", "key"))

    foreign = MasterKey([new_key()], "HUB_MASTER_KEY")
    with pytest.raises(StartError, match=str(disk)):
        await check_master(Keyring(foreign, link, keys, disk))
    elsewhere = Keyring(foreign, link, keys, tmp_path / "other", DatabaseVault(database))
    with pytest.raises(StartError, match="the database"):
        await check_master(elsewhere)
    with pytest.raises(StoreUnavailable, match="the database"):
        await elsewhere.cipher("echo")
    assert not await link.commands.exists(keys.keycheck)
    assert not await link.commands.exists(keys.bot("echo", "key"))
    assert (disk / "echo.key").read_bytes() == copy


async def test_without_redis_the_copies_are_held_against_the_master_key(
    master: MasterKey, link: RedisLink, dead_link: RedisLink, keys: Keys, disk: Path
) -> None:
    await Keyring(master, link, keys, disk).cipher("echo")
    with pytest.raises(StoreUnavailable):
        await check_master(Keyring(master, dead_link, keys, disk))
    wrong = Keyring(MasterKey([new_key()], "HUB_MASTER_KEY"), dead_link, keys, disk)
    with pytest.raises(StartError):
        await check_master(wrong)
    with pytest.raises(SealBroken, match=r"echo\.key"):
        await wrong.cipher("echo")


async def test_while_the_master_key_is_replaced_old_and_new_nodes_agree(
    link: RedisLink, keys: Keys, disk: Path, tmp_path: Path
) -> None:
    old, new = new_key(), new_key()
    before = Keyring(MasterKey([old], "old"), link, keys, disk)
    await check_master(before)
    during = Keyring(MasterKey([new, old], "both"), link, keys, tmp_path / "two")
    await check_master(during)
    sealed = (await before.cipher("echo")).seal(b"x", b"1")
    assert (await during.cipher("echo")).open(sealed, b"1") == b"x"


async def test_the_key_of_one_bot_cannot_be_given_to_another(
    master: MasterKey, link: RedisLink, keys: Keys, disk: Path
) -> None:
    await Keyring(master, link, keys, disk).cipher("echo")
    stolen = await link.commands.get(keys.bot("echo", "key"))
    assert isinstance(stolen, bytes)
    await link.commands.set(keys.bot("support", "key"), stolen)
    with pytest.raises(SealBroken, match="bot support"):
        await Keyring(master, link, keys, disk).cipher("support")


async def test_nothing_that_is_kept_holds_the_key_in_clear(
    master: MasterKey, link: RedisLink, keys: Keys, disk: Path
) -> None:
    from app.storage.data_key import unwrap

    await Keyring(master, link, keys, disk).cipher("echo")
    kept = await link.commands.get(keys.bot("echo", "key"))
    assert isinstance(kept, bytes)
    key = unwrap(master, "echo", kept)
    on_disk = (disk / "echo.key").read_bytes()
    assert key.plain not in kept + on_disk
    assert key.plain.hex() not in repr(key)
    assert repr(key.plain) not in repr(key)
