"""How a channel does: whether what was sent by it last arrived."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Delivery:
    """Of one channel; changed by who sends."""

    failures: int = 0
    """Notices in succession that it did not take."""
    error: str = ""
    """Of the last failure; holds no secret."""
    at: float | None = None
    """When it last took one, or failed to, in seconds since the epoch."""
