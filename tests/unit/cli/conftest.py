"""Commands run inside the test's own process here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logs_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loggers would keep the runner's standard error, which is closed after the command, for every later test."""
    monkeypatch.setattr("app.core.logs.configure_logs", lambda *_: None)
    with capture_logs():
        yield
