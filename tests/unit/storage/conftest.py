"""A database of each kind, and a master key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.storage.database import Database
from app.storage.master_key import MasterKey, new_key
from app.storage.messages import Messages


@pytest.fixture
def master() -> MasterKey:
    return MasterKey([new_key()], "the test")


@pytest.fixture
async def database(database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(database_url, tmp_path)
    yield database
    await database.close()


@pytest.fixture
def messages(database: Database) -> Messages:
    return Messages(database)
