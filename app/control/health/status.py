"""What the health pages say: alive, ready (or degraded), and, for operators, why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

Place = Literal["queue", "spool", "none"]
Details = Callable[[], Mapping[str, Any]]


class Health:
    """Answers `/healthz`, `/readyz` and `/health`; `details` only for operators."""

    def __init__(self, place: Callable[[], Place], details: Details) -> None:
        self._place = place
        self._details = details
        self.draining = False

    def alive(self) -> tuple[int, Mapping[str, Any]]:
        """The process answers."""
        return 200, {"status": "ok"}

    def ready(self) -> tuple[int, Mapping[str, Any]]:
        """200 while events can be made safe, in the queue or (degraded) in the spool."""
        if self.draining:
            return 503, {"status": "draining"}
        match self._place():
            case "queue":
                return 200, {"status": "ready"}
            case "spool":
                return 200, {"status": "degraded"}
        return 503, {"status": "unavailable"}

    def details(self) -> tuple[int, Mapping[str, Any]]:
        """Both, with what operators want to know; for the admin listener."""
        status, ready = self.ready()
        return status, {**ready, **self._details()}

    def public(self, path: str) -> tuple[int, Mapping[str, Any]]:
        """The public listener's pages: no details."""
        return self.alive() if path == "/healthz" else self.ready()
