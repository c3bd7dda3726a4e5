"""Builds the dashboard: what it shows, and the samples of traffic that it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from app.control.alerts.book import Book
from app.control.alerts.readings import of_nodes
from app.control.alerts.silences import Silence
from app.control.alerts.view import alerts_shown, past_shown
from app.control.cluster.membership import Membership
from app.control.dashboard.pages import Dashboard, Sight
from app.control.dashboard.traffic import Traffic
from app.core.alert_rules import Rule
from app.core.clock import SYSTEM_CLOCK
from app.core.ending import running
from app.measures import Measures
from app.wiring import Stores


@asynccontextmanager
async def open_dashboard(
    stores: Stores, measures: Measures, membership: Membership, book: Book, token: str
) -> AsyncIterator[Any]:
    """The ASGI app to be mounted at `/dashboard`, with its samples running; `token` is the admin token."""
    traffic = Traffic(stores.link, stores.keys, lambda: tuple(measures.registry.statuses))
    alerts = _Alerts(book, stores.settings.alerts.effective())
    sight = Sight(_Bots(measures, membership), traffic, measures.usage, alerts)
    async with running(traffic.run(), "traffic"):
        yield Dashboard(sight, token).app


@dataclass(frozen=True, slots=True)
class _Bots:
    """This node's bots, with what all nodes say of their errors in the last minute."""

    measures: Measures
    membership: Membership

    async def bots(self) -> Sequence[Mapping[str, Any]]:
        errors = of_nodes(await self.membership.nodes(), SYSTEM_CLOCK.now())["errors_per_minute"]
        return [{**bot, "errors": errors.get(bot["id"], 0.0)} for bot in await self.measures.bots()]


@dataclass(frozen=True, slots=True)
class _Alerts:
    """The book of alerts as the dashboard reads it."""

    book: Book
    rules: dict[str, Rule]

    async def now(self) -> Sequence[Mapping[str, Any]]:
        return alerts_shown(await self.book.standing(), self.rules, SYSTEM_CLOCK.now())

    async def past(self, count: int) -> Sequence[Mapping[str, Any]]:
        # The history tells of each alert twice, when it fires and when it is over.
        entries = past_shown(await self.book.history(2 * count), self.rules)
        return [entry for entry in entries if entry["what"] == "resolved"][:count]

    async def silence(self, name: str, subject: str, seconds: float) -> None:
        await self.book.silence(Silence(name, subject or "*", SYSTEM_CLOCK.now() + seconds, by="dashboard"))
