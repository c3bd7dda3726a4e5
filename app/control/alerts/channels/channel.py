"""The seam between alerts and the ways that they go."""

from __future__ import annotations

from typing import Protocol

from app.control.alerts.notice import Notice


class Channel(Protocol):
    """One way that alerts go."""

    @property
    def name(self) -> str:
        """As `alerts.channels` has it."""
        ...

    @property
    def standby(self) -> bool:
        """Whether it is used only where another one failed."""
        ...

    async def send(self, notice: Notice) -> None:
        """Send it once; HubError when it did not arrive, whose words hold no secret."""
        ...
