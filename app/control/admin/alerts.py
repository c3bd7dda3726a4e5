"""Alerts in the admin API: what stands, what was, silences, and whether the channels work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from app.control.admin.shapes import Done
from app.control.alerts.book import Book
from app.control.alerts.notify import Notifier
from app.control.alerts.request import silence_asked, trial
from app.control.alerts.view import alerts_shown, past_shown
from app.core.alert_rules import Rule
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.values import Span


class _About(BaseModel):
    name: str
    """The rule's name."""
    subject: str
    """The bot, node, limit … that it is about; empty where it is the whole hub."""
    of: str
    severity: str
    signal: str
    value: float
    value_text: str
    summary: str
    summary_zh: str
    since: float
    fired: float | None


class Alert(_About):
    """An alert that stands; times in seconds since the epoch."""

    state: str
    told: float | None
    silenced_until: float | None


class PastAlert(_About):
    """What fired or was over."""

    id: str
    at: float
    what: str


class ShownSilence(BaseModel):
    """A silence; `name` and `subject` may hold `*`."""

    name: str
    subject: str
    until: float
    by: str


class ShownChannel(BaseModel):
    """A way that alerts go; `failures` counts those in succession that it did not take."""

    name: str
    standby: bool
    failures: int = 0
    error: str = ""
    at: float | None = None


class AskedSilence(BaseModel):
    """Alerts that are not to be sent for a while."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    subject: str = Field("*", max_length=256)
    span: Span = Field(3600.0, alias="for", gt=0)
    by: str = Field("api", max_length=64)


def alerts_router(
    book: Book, notifier: Notifier, rules: Mapping[str, Rule], *, clock: Clock = SYSTEM_CLOCK
) -> APIRouter:
    """The routes under /alerts."""
    api = APIRouter(prefix="/alerts")

    @api.get("", response_model=list[Alert])
    async def list_alerts() -> list[dict[str, Any]]:
        """Every alert that stands, those that fire first."""
        return alerts_shown(await book.standing(), rules, clock.now())

    @api.get("/history", response_model=list[PastAlert])
    async def list_past(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[str | None, Query(pattern=r"^\d{1,19}-\d{1,19}$")] = None,
    ) -> list[dict[str, Any]]:
        """What fired and what was over, the newest first; page on with `before`."""
        return past_shown(await book.history(limit, before), rules)

    @api.get("/silences", response_model=list[ShownSilence])
    async def list_silences() -> list[ShownSilence]:
        """The silences in force."""
        found = (await book.standing()).silences
        return [
            ShownSilence(name=one.rule, subject=one.subject, until=one.until, by=one.by)
            for one in found
            if one.until > clock.now()
        ]

    @api.post("/silence", response_model=ShownSilence)
    async def silence(asked: AskedSilence) -> ShownSilence:
        """Have alerts not sent for a while; they are evaluated and shown all the same."""
        try:
            made = silence_asked(rules, asked.name, asked.subject, asked.span, clock.now(), asked.by)
        except HubError as error:
            raise HTTPException(422, str(error)) from None
        await book.silence(made)
        return ShownSilence(name=made.rule, subject=made.subject, until=made.until, by=made.by)

    @api.delete("/silence", response_model=Done)
    async def lift(name: str, subject: str = "*") -> Done:
        """End a silence before its time."""
        if not await book.lift(name, subject):
            raise HTTPException(404, f"there is no silence of {name} {subject}")
        return Done()

    @api.get("/channels", response_model=list[ShownChannel])
    async def list_channels() -> list[ShownChannel]:
        """Where alerts go, and whether they arrive."""
        known = await book.deliveries()
        return [
            ShownChannel(name=name, standby=channel.standby, **_did(known.get(name)))
            for name, channel in notifier.channels.items()
        ]

    @api.post("/channels/{name}/test", response_model=Done)
    async def test_channel(name: str) -> Done:
        """Send a message that says that it is a test; the error says why it did not arrive."""
        if name not in notifier.channels:
            raise HTTPException(404, f"alerts.channels has no {name}; it has {', '.join(notifier.channels) or 'none'}")
        await notifier.test(name, trial(name, clock.now()))
        return Done()

    return api


def _did(delivery: Any) -> dict[str, Any]:
    if delivery is None:
        return {}
    return {"failures": delivery.failures, "error": delivery.error, "at": delivery.at}
