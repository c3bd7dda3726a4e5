"""What the dashboard shows, as it asks for it; the parts of the node answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.channel.usage import LimitUse, QuotaUse
from app.control.dashboard.traffic import BotTraffic, Chart


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert that fires, waits or is over."""

    name: str
    subject: str
    """What it is about: a bot, a node, a limit; empty where it is the hub."""
    text: str
    text_zh: str
    severity: str
    state: str
    since: float
    until: float | None = None
    silenced_until: float | None = None


class BotsView(Protocol):
    """The bots of the configuration as this node has them."""

    async def bots(self) -> Sequence[Mapping[str, Any]]: ...


class TrafficView(Protocol):
    """What went through, over all nodes."""

    def of(self, bot: str) -> BotTraffic: ...

    def chart(self) -> Chart: ...


class LimitsView(Protocol):
    """How far the limits are used, over all nodes."""

    async def read(self) -> Sequence[LimitUse]: ...

    async def quotas(self) -> Sequence[QuotaUse]: ...


class AlertsView(Protocol):
    """Alerts now and past."""

    async def now(self) -> Sequence[AlertRow]: ...

    async def past(self, count: int) -> Sequence[AlertRow]: ...

    async def silence(self, name: str, subject: str, seconds: float) -> None: ...
