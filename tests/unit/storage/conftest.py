"""Databases of both kinds, and a master key; PostgreSQL where HUB_TEST_PG_URL names a server."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from app.storage.database import Database
from app.storage.master_key import MasterKey, new_key
from app.storage.messages import Messages

PG_URL = os.environ.get("HUB_TEST_PG_URL")


@pytest.fixture
def master() -> MasterKey:
    return MasterKey([new_key()], "the test")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param(
            "postgresql",
            marks=pytest.mark.skipif(not PG_URL, reason="HUB_TEST_PG_URL names no PostgreSQL server"),
        ),
    ]
)
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of an empty database of the test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hub.db'}"
        return
    assert PG_URL is not None
    server = make_url(PG_URL).set(drivername="postgresql+asyncpg")
    name = f"hub_test_{uuid.uuid4().hex[:12]}"
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    await engine.dispose()


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(database_url, tmp_path)
    yield database
    await database.close()


@pytest.fixture
def messages(database: Database) -> Messages:
    return Messages(database)
