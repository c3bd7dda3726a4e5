"""How a channel does: whether the last notice sent by it arrived."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Delivery:
    """The state of one channel; changed by its sender."""

    failures: int = 0
    """Notices in a row that it did not take."""
    error: str = ""
    """The last failure; holds no secret."""
    at: float | None = None
    """When it last took one or failed to, in seconds since the epoch."""
