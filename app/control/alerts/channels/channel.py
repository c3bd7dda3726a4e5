"""The seam between alerts and the ways they are sent."""

from __future__ import annotations

from typing import Protocol

from app.control.alerts.notice import Notice


class Channel(Protocol):
    """One way to send alerts."""

    @property
    def name(self) -> str:
        """Its name in `alerts.channels`."""
        ...

    @property
    def standby(self) -> bool:
        """Whether it is used only if another one failed."""
        ...

    async def send(self, notice: Notice) -> None:
        """Send it once; raises HubError, without secrets in its text, if it did not arrive."""
        ...
