"""Commands run inside the test's own process here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logs_are_kept() -> Iterator[None]:
    """What a command logs is not what it prints."""
    with capture_logs():
        yield
