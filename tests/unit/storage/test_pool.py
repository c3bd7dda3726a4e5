"""Connections to PostgreSQL: never over the most, closed when they rest, replaced when they are old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.core.errors import StoreUnavailable
from app.core.sections import DatabasePool
from app.storage.database import Database
from tests.postgres_server import PostgresServer
from tests.waiting import until

Open = Callable[..., Database]


@pytest.fixture
async def open_database(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens databases with a pool as the test wants it."""
    async with AsyncExitStack() as closing:
        with postgres.database() as url:

            def open_one(**pool: Any) -> Database:
                database = Database(url, tmp_path, pool=DatabasePool(**pool))
                closing.push_async_callback(database.close)
                return database

            yield open_one
            await closing.aclose()


async def sessions(database: Database) -> int:
    """How many connections the server sees, this one included."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    async with database.reading() as connection:
        return int((await connection.execute(text(query))).scalar_one())


async def use_at_once(database: Database, count: int) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(database.reading())


async def process_id(database: Database) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def test_unused_connections_are_closed_down_to_the_least(open_database: Open) -> None:
    database = open_database(max_connections=8, min_connections=2, idle_timeout=0.3)
    await use_at_once(database, 6)
    assert await sessions(database) == 6

    async def two_left() -> bool:
        return await sessions(database) == 2

    await until(two_left)
    await use_at_once(database, 4)
    await until(two_left)


async def test_one_over_the_most_waits_and_gets_its_turn(open_database: Open) -> None:
    database = open_database(max_connections=2, min_connections=1)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(database.reading())
        third = asyncio.create_task(process_id(database))
        await asyncio.sleep(0)
        assert not third.done()
    assert await third


async def test_who_waits_too_long_is_told(open_database: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.pool._PATIENCE", 0.1)
    database = open_database(max_connections=1, min_connections=0)
    async with database.reading():
        with pytest.raises(StoreUnavailable, match=r"raise database\.pool\.max_connections"):
            await process_id(database)


async def test_an_old_connection_is_replaced(open_database: Open) -> None:
    database = open_database(max_connections=1, min_connections=1, max_lifetime=1)
    first = await process_id(database)

    async def replaced() -> bool:
        return await process_id(database) != first

    await until(replaced)


async def test_a_connection_that_the_server_cut_is_replaced(open_database: Open, postgres: PostgresServer) -> None:
    database = open_database(max_connections=2, min_connections=2)
    first = await process_id(database)
    postgres.execute(f"SELECT pg_terminate_backend({first})")
    assert await process_id(database) != first


def test_the_least_cannot_be_over_the_most() -> None:
    with pytest.raises(ValueError, match="min_connections is over max_connections"):
        DatabasePool(max_connections=2, min_connections=3)
