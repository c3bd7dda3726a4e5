"""The database's copies of data keys: the newest first, and changed only as they were read."""

from __future__ import annotations

from pathlib import Path

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.storage.data_key import DataKey, make, unwrap
from app.storage.database import Database
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.storage.vault import DatabaseVault
from tests.hand_clock import HandClock
from tests.waiting import until


def key(master: MasterKey, bot: str = "echo") -> DataKey:
    return unwrap(master, bot, make(master, bot))


async def test_the_newest_key_comes_first_and_what_is_there_stays(master: MasterKey, database: Database) -> None:
    clock = HandClock()
    vault = DatabaseVault(database, clock=clock)
    kept = [key(master) for _ in range(3)]
    for one in kept:
        await vault.keep([*kept[:1], one])
        clock.time += 60
    assert (await vault.of("echo")).wrapped == tuple(one.wrapped for one in reversed(kept))
    assert await vault.of("support") == KeyRecord()


async def test_a_wrapping_that_changed_meanwhile_is_not_written_over(master: MasterKey, database: Database) -> None:
    vault = DatabaseVault(database)
    one, other, foreign = key(master), key(master), key(master, "support")
    await vault.keep([one, other, foreign])
    assert await vault.replace("echo", one.wrapped, b"new")
    assert not await vault.replace("echo", one.wrapped, b"late")
    assert not await vault.replace("echo", foreign.wrapped, b"another bot's")
    assert set((await vault.of("echo")).wrapped) == {b"new", other.wrapped}
    assert (await vault.of("support")).wrapped == (foreign.wrapped,)


async def test_copies_that_do_not_open_any_more_hold_nothing_up_and_are_renewed(
    link: RedisLink, keys: Keys, database: Database, tmp_path: Path
) -> None:
    # A node of before a rotation: its own copies lie under a master key that is gone from the file it shares.
    old, new = new_key(), new_key()
    vault = DatabaseVault(database)
    node = Keyring(MasterKey([old], "old"), link, keys, tmp_path / "node", vault)
    sealed = (await node.cipher("echo")).seal(b"x", b"1")
    await until(lambda: node.unsaved == 0)
    await node.close()
    both = MasterKey([new, old], "both")
    name = keys.bot("echo", "key")
    record = KeyRecord.parse(await node.shared.get(name))
    await link.commands.set(name, KeyRecord(tuple(map(both.renewed, record.wrapped))).packed())
    await link.commands.set(keys.keycheck, both.renewed(await node.shared.get(node.shared.proof_name) or b""))
    await vault.destroy("echo", frozenset({b"gone"}))

    later = Keyring(MasterKey([new], "new"), link, keys, tmp_path / "node", vault)
    assert (await later.refresh("echo")).open(sealed, b"1") == b"x"
    await until(lambda: later.unsaved == 0)
    kept = await vault.of("echo")
    assert [later.master.opener(copy) is not None for copy in kept.wrapped] == [True]
    assert kept.destroyed == {b"gone"}
    await later.close()
