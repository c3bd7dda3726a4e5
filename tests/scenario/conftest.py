"""What several scenarios start from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink
from tests.scenario.front import Front, open_front


@pytest.fixture
async def front(link: RedisLink, keys: Keys, no_key_without_ttl: None) -> AsyncIterator[Front]:
    async with open_front(link, keys, None) as front:
        yield front
