"""What is due is deleted, once in the cluster, and what was said is in no file of the database afterwards."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import text

from app.storage.batch import write
from app.storage.data_key import make, unwrap_good
from app.storage.database import Database
from app.storage.days import day_of, days_kept, words_of
from app.storage.master_key import MasterKey, new_key
from app.storage.message import NewMessage
from app.storage.messages import Messages
from app.storage.query import Query
from app.storage.retention import Retention
from app.storage.vault import DatabaseVault
from tests.postgres_server import PostgresServer
from tests.waiting import until

DAY = 86_400.0
NOW = 20_000 * DAY
BOTS = ("short", "long", "stays")
RETAINS = {"short": 3 * DAY, "long": 10 * DAY}


class Clock:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def row(bot: str, number: int, age: float, sealed: bytes = b"\x01sealed") -> NewMessage:
    """A message so many seconds old."""
    created = int((NOW - age) * 1000)
    return NewMessage(
        bot, f"{bot}_{number}", "in", "im.message.receive_v1", "oc_1", "ou_1", f"om_{number}", created, sealed
    )


def retention(database: Database, clock: Clock, retains: Mapping[str, float] = RETAINS) -> Retention:
    return Retention(database, lambda: retains, clock=clock)


async def kept(messages: Messages, bot: str) -> list[str]:
    return [info.key for info in await messages.search(Query(bot=bot))]


async def test_each_bot_keeps_its_own_time(messages: Messages, database: Database) -> None:
    ages = (0, 2.9 * DAY, 3.6 * DAY, 9.9 * DAY, 10.6 * DAY)
    await messages.insert([row(bot, number, age) for bot in (*RETAINS, "gone") for number, age in enumerate(ages)])
    assert await retention(database, Clock()).purge() == 4
    assert await kept(messages, "short") == ["short_0", "short_1"]
    assert await kept(messages, "long") == ["long_0", "long_1", "long_2", "long_3"]
    # A bot whose directory cannot be read says nothing of how long: nothing of it is deleted by mistake.
    assert len(await kept(messages, "gone")) == 5
    for info in await messages.search(Query(bot="long")):
        found = await messages.show(info.id)
        assert found is not None
        assert found.sealed == b"\x01sealed"
    assert await retention(database, Clock()).purge() == 0


async def test_copies_elsewhere_go_with_the_messages_and_then_the_log_is_written_anew(database: Database) -> None:
    asked: list[tuple[str, float]] = []
    rewritten: list[int] = []
    copies = [0, 2, 0]

    async def expire(bot: str, before: float) -> int:
        asked.append((bot, before))
        return copies.pop(0) if bot == "short" else 0

    async def rewrite() -> None:
        rewritten.append(len(asked))

    purging = Retention(database, lambda: RETAINS, expire=expire, rewrite_log=rewrite, clock=Clock())
    for _ in range(3):
        assert await purging.purge() == 0
    assert [bot for bot, _ in asked] == ["short", "long"] * 3
    assert all(0 <= NOW - RETAINS[bot] - before < DAY / 2 for bot, before in asked)
    assert rewritten == [4]  # the second time, after all bots


async def test_a_day_that_is_empty_leaves_no_table(messages: Messages, database: Database) -> None:
    await messages.insert([row("short", number, number * DAY) for number in range(8)], {0: [1], 7: [1]})
    clock = Clock()
    clock.time += 30 * DAY
    assert await retention(database, clock).purge() == 8
    async with database.reading() as connection:
        assert await days_kept(connection) == await days_kept(connection, "words") == []
    await messages.insert([row("short", 9, 0)])
    assert await kept(messages, "short") == ["short_9"]


async def test_more_than_a_transaction_holds(messages: Messages, database: Database) -> None:
    await messages.insert([row("short", number, 5 * DAY) for number in range(2500)])
    assert await retention(database, Clock()).purge() == 2500
    assert await messages.count() == 0


async def test_one_node_has_the_turn(messages: Messages, database: Database) -> None:
    clock = Clock()
    nodes = [retention(database, clock) for _ in range(3)]
    assert [await node._my_turn() for node in nodes] == [True, False, False]
    clock.time += 7 * 3600
    assert [await node._my_turn() for node in nodes] == [True, False, False]
    # A turn that was taken with the clock a year ahead.
    clock.time += 365 * DAY
    assert await nodes[0]._my_turn()
    clock.time -= 365 * DAY
    assert [await node._my_turn() for node in nodes] == [True, False, False]
    assert await Retention(database, lambda: RETAINS, group="short", clock=clock)._my_turn(), "of other bots"


async def test_what_a_killed_node_left_is_ended_by_the_next(
    messages: Messages, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_step: str) -> None:
        raise KeyError("killed")

    await messages.insert([row(bot, 1, 4 * DAY) for bot in RETAINS])
    with monkeypatch.context() as patch:
        patch.setattr("app.storage.retention.failpoint", die)
        with pytest.raises(KeyError):
            await retention(database, Clock()).purge()
    again = retention(database, Clock())
    (worn,) = await again._worn()
    assert await again.purge() == 0
    assert await again._worn() == []
    async with database.reading() as connection:
        assert await days_kept(connection) == [worn]


async def test_the_words_that_stay_are_still_found(messages: Messages, database: Database) -> None:
    from app.storage.query import Query
    from app.storage.word_search import ids_with

    age = 4 * DAY
    await messages.insert([row("short", 1, age), row("long", 2, age)], {0: [11, 12], 1: [11, -13]})
    await retention(database, Clock()).purge()

    async def found(*hashes: int) -> list[int]:
        return [number async for _, page in ids_with(database, [hashes], Query("long")) for number in page]

    assert await found(11) == await found(-13) == await found(11, -13) == [2]
    assert await found(12) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("others", [0, 1], ids=["the day would be empty", "others stay"])
async def test_what_another_node_stores_meanwhile_stays(messages: Messages, database: Database, others: int) -> None:
    age = 4 * DAY
    await messages.insert([row("short", 1, age), *(row("long", number, age) for number in range(others))])

    async def waits() -> bool:
        async with database.reading() as connection:
            return bool(await connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    async with database.writing() as storing:
        await write(storing, [row("stays", 1, age)], {0: [11]})
        purging = asyncio.create_task(retention(database, Clock()).purge())
        await until(waits)
    assert await purging == 1
    [info] = await messages.search(Query(bot="stays"))
    found = await messages.show(info.id)
    assert found is not None
    assert found.sealed == b"\x01sealed"
    async with database.reading() as connection:
        assert list(await connection.scalars(text(f"SELECT id FROM {words_of(day_of(info.created))}"))) == [info.id]


@pytest.fixture
def careful(postgres_programs: None) -> Iterator[PostgresServer]:
    """A PostgreSQL that does not keep old log files to use them again, as operations.md asks for."""
    with PostgresServer("wal_recycle=off", "min_wal_size=32MB", "fsync=off", "shared_buffers=16MB") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Database, Path]]:
    """A database and the directory of everything that it keeps."""
    if request.param == "sqlite":
        database, files = Database("sqlite", tmp_path), tmp_path
    else:
        server: PostgresServer = request.getfixturevalue("careful")
        database, files = Database(server.url(), tmp_path), server.data
    yield database, files
    await database.close()


async def test_what_was_said_is_in_no_file(place: tuple[Database, Path], request: pytest.FixtureRequest) -> None:
    database, files = place
    messages, clock = Messages(database), Clock()
    sizes = (5, 40, 140, 400, 1200)
    rows = [
        row(bot, number, number / 40 * DAY, b"\x01" + marked(bot, number) * sizes[number % 5])
        for bot in BOTS
        for number in range(600)
    ]
    for start in range(0, len(rows), 100):
        await messages.insert(rows[start : start + 100], {place: [place, 7] for place in range(0, 100, 3)})
    assert len(traces(files)) == len(rows)
    await messages.recall("stays", [f"om_{number}" for number in range(20, 60)])
    clock.time += DAY
    assert await retention(database, clock).purge() == 519 + 239
    if not database.sqlite:
        server: PostgresServer = request.getfixturevalue("careful")
        server.execute("SELECT pg_switch_wal()")
        server.execute("CHECKPOINT")
    stay = {(info.bot, info.key) for bot in BOTS for info in await messages.search(Query(bot=bot), limit=1000)}
    recalled = {("stays", f"stays_{number}") for number in range(20, 60)}
    left = traces(files)
    assert left == stay - recalled
    assert len(left) == 81 + 361 + 560


def marked(bot: str, number: int) -> bytes:
    """A piece of content by which it is known wherever it lies; the number twice, since pages cut pieces apart."""
    return b"\xfe\xed\xfa" + BOTS.index(bot).to_bytes(1, "big") + number.to_bytes(4, "big") * 2


def traces(directory: Path) -> set[tuple[str, str]]:
    """The messages of which any piece stands in a file."""
    return {
        (BOTS[found[1][0]], f"{BOTS[found[1][0]]}_{int.from_bytes(found[2], 'big')}")
        for path in directory.rglob("*")
        if path.is_file()
        for found in re.finditer(rb"\xfe\xed\xfa([\0-\2])(.{4})\2", path.read_bytes(), re.S)
    }


async def test_those_that_nobody_names_have_what_is_said_of_all_others(messages: Messages, database: Database) -> None:
    await messages.insert([row(bot, number, 40 * DAY) for bot in ("named", "ever", "removed") for number in range(2)])
    await messages.insert([row("removed", 9, DAY)])
    vault = DatabaseVault(database)
    master = MasterKey([new_key()], "a test")
    for bot in ("named", "ever", "removed"):
        keys, _ = unwrap_good(master, bot, [make(master, bot)])
        await vault.keep(keys)
    named, clock = {"named": 500 * DAY, "ever": float("inf")}, Clock()

    async def purge(named: Mapping[str, float] = named, rest: float | None = 30 * DAY) -> int:
        """By a process of its own each time: a hub may be restarted daily."""
        return await Retention(database, lambda: named, otherwise=lambda: rest, clock=clock).purge()

    for days, back in ((2, True), (1, True), (300, False), (-300, False)):
        assert await purge(rest=None) == 0
        clock.time += days * DAY
        assert await purge() == 0, "it is missed from now on"
        clock.time += DAY - 1
        assert await purge() == 0
        clock.time -= DAY - 1
        if back:
            assert await purge({**named, "removed": 999 * DAY}) == 0
    clock.time += DAY
    assert await purge() == 2
    assert await kept(messages, "removed") == ["removed_9"]
    assert len(await kept(messages, "named")) == len(await kept(messages, "ever")) == 2
