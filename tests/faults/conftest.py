"""A site of its own for every fault test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.world import Site, site_at


@pytest.fixture
async def site(tmp_path: Path, database_url: str) -> AsyncIterator[Site]:
    """A playground in this process, and a configuration without bots; nothing else."""
    async with site_at(tmp_path, database_url) as site:
        yield site
