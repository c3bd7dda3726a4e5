"""What the dashboard shows, as it asks for it; the parts of the node answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.channel.usage import LimitUse, QuotaUse
from app.control.dashboard.traffic import BotTraffic, Chart


class TrafficView(Protocol):
    """What went through, over all nodes."""

    def of(self, bot: str) -> BotTraffic: ...

    def chart(self) -> Chart: ...


class LimitsView(Protocol):
    """How far the limits are used, over all nodes."""

    async def read(self) -> Sequence[LimitUse]: ...

    async def quotas(self) -> Sequence[QuotaUse]: ...


class AlertsView(Protocol):
    """Alerts now and past: documents of `app/control/alerts/view.py`."""

    async def now(self) -> Sequence[Mapping[str, Any]]: ...

    async def past(self, count: int) -> Sequence[Mapping[str, Any]]: ...

    async def silence(self, name: str, subject: str, seconds: float) -> None: ...
