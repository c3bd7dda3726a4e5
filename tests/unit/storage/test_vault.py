"""The database's copies of data keys: the newest first, and changed only as they were read."""

from __future__ import annotations

from app.storage.data_key import DataKey, make, unwrap
from app.storage.database import Database
from app.storage.key_record import KeyRecord
from app.storage.master_key import MasterKey
from app.storage.vault import DatabaseVault
from tests.hand_clock import HandClock


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
