"""A queue that can fail and a spool on the disk, for tests of what keeps events safe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.gateway.spool import Spool
from tests.unit.gateway.kit import StubQueue


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    """An open spool with room for all that a test puts into it."""
    spool = Spool(tmp_path / "spool.db", 1 << 30)
    await spool.open()
    yield spool
    await spool.close()


@pytest.fixture
def queue() -> StubQueue:
    """A queue in memory."""
    return StubQueue()
