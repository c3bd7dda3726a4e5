"""What a purge that did not come to its end has left is done by the next one, and soon."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from app.core.errors import StoreUnavailable
from app.storage.database import Database
from app.storage.messages import Messages
from app.storage.retention import Retention
from tests.unit.storage.test_retention import DAY, NOW, Clock, marked, retention, row, traces


@pytest.mark.parametrize("step", ["expire", "rewrite"])
async def test_what_ends_before_the_files_are_written_anew_is_owed(
    messages: Messages, database: Database, step: str
) -> None:
    """By then neither a day nor a letter says any more that something is left."""
    done: list[str] = []
    fails = [step]

    async def begin(name: str) -> None:
        done.append(name)
        if name in fails:
            fails.remove(name)
            raise StoreUnavailable("away")

    async def expire(_bot: str, _before: float) -> int:
        await begin("expire")
        return 0

    async def rewrite() -> None:
        await begin("rewrite")

    def node() -> Retention:
        return Retention(database, lambda: {"short": DAY}, expire=expire, rewrite_log=rewrite, clock=Clock())

    await messages.insert([row("short", 1, 4 * DAY)])
    with pytest.raises(StoreUnavailable):
        await node().purge()
    assert await node()._worn() == []
    assert await node().purge() == 0
    assert done[-1] == "rewrite"
    done.clear()
    assert await node().purge() == 0
    assert done == ["expire"], "and then it is over"


async def test_a_letter_that_went_before_a_death_is_owed_too(database: Database) -> None:
    letters, rewritten = [1, 0, 0], [0]

    async def expire(_bot: str, _before: float) -> int:
        if letters.pop(0):
            raise KeyError("killed, and one letter is gone")
        return 0

    async def rewrite() -> None:
        rewritten[0] += 1

    def node() -> Retention:
        return Retention(database, lambda: {"short": DAY}, expire=expire, rewrite_log=rewrite, clock=Clock())

    with pytest.raises(KeyError):
        await node().purge()
    for _ in range(2):
        await node().purge()
    assert rewritten == [1]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_reader_of_an_older_state_is_waited_for(
    messages: Messages, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.database._BUSY_TIMEOUT_MS", 10)
    await messages.insert([row("short", 1, 4 * DAY, b"\x01" + marked("short", 1))])
    reader = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM messages").fetchall()
    with pytest.raises(StoreUnavailable, match="somebody reads an older state"):
        await retention(database, Clock()).purge()
    assert traces(tmp_path) == {("short", "short_1")}
    reader.close()
    assert await retention(database, Clock()).purge() == 0
    assert traces(tmp_path) == set()


async def test_what_failed_is_tried_again_before_the_next_turn(database: Database) -> None:
    clock, tried = Clock(), []

    async def expire(_bot: str, _before: float) -> int:
        tried.append(clock.time - NOW)
        if len(tried) < 3:
            raise StoreUnavailable("away")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Retention(database, lambda: {"short": 100 * DAY}, expire=expire, clock=clock).run()
    assert tried == [0, 60, 120]
