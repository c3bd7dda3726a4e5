"""A dashboard over things to see that a test sets by hand, on a listener of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from app.channel.usage import LimitUse, QuotaUse
from app.control.dashboard.pages import Dashboard, Sight
from app.control.dashboard.traffic import BotTraffic, Chart
from app.core.clock import SystemClock
from app.core.errors import StoreUnavailable
from app.listening import bind, serving

TOKEN = "the-admin-token"
T = TypeVar("T")


class HandClock(SystemClock):
    """Goes on only by hand."""

    def __init__(self) -> None:
        self.time = 1_790_000_000.0

    def ahead(self, seconds: float) -> None:
        self.time += seconds

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@dataclass
class Town:
    """What there is to see; `away` lets every question fail as it does without Redis."""

    rows: list[Mapping[str, Any]] = field(default_factory=list)
    uses: list[LimitUse] = field(default_factory=list)
    months: list[QuotaUse] = field(default_factory=list)
    firing: list[dict[str, Any]] = field(default_factory=list)
    over: list[dict[str, Any]] = field(default_factory=list)
    silenced: list[tuple[str, str, float]] = field(default_factory=list)
    curve: Chart = field(default_factory=Chart)
    away: bool = False
    url: str = ""

    async def bots(self) -> Sequence[Mapping[str, Any]]:
        return self._unless_away(self.rows)

    def of(self, bot: str) -> BotTraffic:
        return BotTraffic(12.0, 1_790_000_000.0) if bot == "support" else BotTraffic()

    def chart(self) -> Chart:
        return self.curve

    async def read(self) -> Sequence[LimitUse]:
        return self._unless_away(self.uses)

    async def quotas(self) -> Sequence[QuotaUse]:
        return self._unless_away(self.months)

    async def now(self) -> Sequence[Mapping[str, Any]]:
        return self._unless_away(self.firing)

    async def past(self, count: int) -> Sequence[Mapping[str, Any]]:
        return self._unless_away(self.over)[:count]

    async def silence(self, name: str, subject: str, seconds: float) -> None:
        self.silenced.append((name, subject, seconds))

    def _unless_away(self, what: list[T]) -> list[T]:
        if self.away:
            raise StoreUnavailable("Redis is away")
        return what


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    """Its dashboard is served at `town.url`."""
    town = Town()
    dashboard = Dashboard(Sight(town, town, town, town), TOKEN)
    app = Starlette(routes=[Mount("/dashboard", dashboard.app)])
    where = bind("127.0.0.1", 0, "dashboard")
    town.url = f"http://127.0.0.1:{where.getsockname()[1]}/dashboard"
    async with serving(app, where):
        yield town
