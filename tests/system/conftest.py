"""A site of its own for every system test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.world import Site, site_at


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A playground in this process, and a configuration without bots; redeliveries come fast."""
    async with site_at(tmp_path, speed=60.0) as site:
        yield site
