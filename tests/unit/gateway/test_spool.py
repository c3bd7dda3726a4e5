"""The spool: order, bounds, what it holds of whom, and that what it confirmed survives a kill."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.errors import StartError, StoreUnavailable
from app.gateway.spool import Spool
from app.storage.cipher import Cipher
from tests.unit.gateway.kit import incoming

MANY = 1000
LARGE = 1 << 30


async def ids(spool: Spool, without: frozenset[str] = frozenset()) -> list[str]:
    return [item.incoming.entry.event_id for item in await spool.oldest(MANY, LARGE, without)]


async def test_gives_back_what_it_took_in_order(spool: Spool) -> None:
    events = [incoming(number, bot=f"b{number % 3}") for number in range(20)]
    assert await spool.put(events) == [True] * 20
    found = await spool.oldest(MANY, LARGE)
    assert [item.incoming for item in found] == events
    assert spool.depth == 20


async def test_bounds_of_a_read(spool: Spool) -> None:
    await spool.put([incoming(number, size=1000) for number in range(10)])
    assert len(await spool.oldest(3, LARGE)) == 3
    assert len(await spool.oldest(MANY, 3500)) == 2
    assert len(await spool.oldest(MANY, 1)) == 1


async def test_leaves_bots_out(spool: Spool) -> None:
    await spool.put([incoming(1, bot="a"), incoming(2, bot="b"), incoming(3, bot="c")])
    assert await ids(spool, frozenset("ac")) == ["e2"]


async def test_holds_from_the_call_on_until_removed(spool: Spool) -> None:
    assert not spool.holds("support")
    written = spool.put([incoming(1), incoming(2)])
    assert spool.holds("support")
    assert not spool.holds("other")
    await written
    found = await spool.oldest(1, LARGE)
    await spool.remove(found)
    assert spool.holds("support")
    await spool.remove(await spool.oldest(MANY, LARGE))
    assert not spool.holds("support")
    assert (spool.depth, spool.bytes) == (0, 0)


async def test_an_event_that_lies_there_takes_no_more_room(spool: Spool) -> None:
    await spool.put([incoming(1)])
    taken = spool.bytes
    assert await spool.put([incoming(1), incoming(2), incoming(1, bot="other")]) == [False, True, True]
    assert spool.depth == 3
    assert spool.bytes == 3 * taken


async def test_the_order_outlives_removals(spool: Spool) -> None:
    await spool.put([incoming(1)])
    await spool.remove(await spool.oldest(MANY, LARGE))
    await spool.put([incoming(2)])
    await spool.put([incoming(3)])
    places = [item.place for item in await spool.oldest(MANY, LARGE)]
    assert places == sorted(places)
    assert places[0] > 1


async def test_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", 5000)
    await spool.open()
    await spool.put([incoming(1, size=3000)])
    with pytest.raises(StoreUnavailable, match="full"):
        spool.put([incoming(2, size=3000)])
    assert spool.depth == 1
    await spool.put([incoming(3, size=500)])
    await spool.remove(await spool.oldest(1, LARGE))
    await spool.put([incoming(4, size=3000)])
    await spool.close()


async def test_what_waits_for_the_disk_is_bounded(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.gateway.spool._LARGEST_PENDING", 3000)
    for number in range(3):
        await spool.put([incoming(number, size=2000)])
    written = spool.put([incoming(3, size=2000)])
    with pytest.raises(StoreUnavailable, match="too slow"):
        spool.put([incoming(4, size=2000)])
    await written
    assert await ids(spool) == ["e0", "e1", "e2", "e3"]


async def test_writes_that_arrive_together_are_one(spool: Spool) -> None:
    written = [spool.put([incoming(number)]) for number in range(100)]
    await asyncio.gather(*written)
    assert await ids(spool) == [f"e{number}" for number in range(100)]


async def test_a_disk_that_refuses(spool: Spool) -> None:
    await spool.put([incoming(1)])
    # SQLite's own way of running out of room.
    await spool._in_thread(lambda: spool._opened._database.execute("PRAGMA max_page_count=1"))
    written = spool.put([incoming(2, size=100_000), incoming(3)])
    with pytest.raises(StoreUnavailable, match="full"):
        await written
    assert spool.broken
    assert spool.depth == 1
    assert await ids(spool) == ["e1"]
    await spool._in_thread(lambda: spool._opened._database.execute("PRAGMA max_page_count=1000000"))
    assert await spool.put([incoming(2, size=100_000)]) == [True]
    assert not spool.broken


async def test_found_again_after_a_restart(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool.db", LARGE)
    await first.open()
    await first.put([incoming(1), incoming(2), incoming(3, bot="other")])
    size = first.bytes
    await first.close()
    second = Spool(tmp_path / "spool.db", LARGE)
    await second.open()
    assert (second.depth, second.bytes) == (3, size)
    assert second.holds("support")
    assert second.holds("other")
    assert await ids(second) == ["e1", "e2", "e3"]
    await second.close()


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from app.gateway.spool import Spool
from app.storage.cipher import Cipher
from tests.unit.gateway.kit import incoming

async def main():
    spool = Spool(Path(sys.argv[1]), 1 << 30)
    await spool.open()
    for number in range(50):
        await spool.put([incoming(number)])
    spool.put([incoming(1000 + number, size=10_000) for number in range(200)])
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_confirmed_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", _KILLED, str(path)], check=False)
    assert killed.returncode == -9
    spool = Spool(path, LARGE)
    await spool.open()
    found = await ids(spool)
    assert found[:50] == [f"e{number}" for number in range(50)]
    # The batch in flight is there whole or not at all.
    assert len(found) in (50, 250)
    await spool.close()


async def test_one_file_belongs_to_one_process(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="another hub"):
        await Spool(tmp_path / "spool.db", LARGE).open()


async def test_a_damaged_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(StartError, match="damaged"):
        await Spool(tmp_path / "spool.db", LARGE).open()


async def test_a_newer_format_stops_the_start(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "spool.db")
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(StartError, match="format 99"):
        await Spool(tmp_path / "spool.db", LARGE).open()


async def test_the_file_is_private_and_shrinks_when_emptied(spool: Spool, tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await spool.put([incoming(number, size=50_000) for number in range(100)])
    await spool.remove(await spool.oldest(MANY, LARGE))
    assert path.stat().st_size + path.with_name("spool.db-wal").stat().st_size < 100_000


async def test_events_of_a_shredded_key_go_and_no_others(spool: Spool) -> None:
    old, new = (Cipher("support", {key: bytes(32)}, key) for key in (b"old_", b"new_"))
    events = [incoming(number, bot=bot) for number, bot in enumerate(("support", "support", "other", "support"))]
    events = [
        event._replace(entry=event.entry._replace(sealed=cipher.seal(b"x", b"1")))
        for event, cipher in zip(events, (old, new, old, old), strict=True)
    ]
    await spool.put(events)
    in_hand = await spool.oldest(1, LARGE)
    await spool.forget("support", frozenset({b"old_"}))
    assert await ids(spool) == ["e1", "e2"]
    assert spool.depth == 2
    # The drainer had one of them in its hands.
    await spool.remove(in_hand)
    await spool.remove(await spool.oldest(MANY, LARGE))
    assert (spool.depth, spool.bytes) == (0, 0)
