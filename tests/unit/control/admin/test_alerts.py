"""Alerts by the API: shown, silenced, past, and their channels tried; wrong requests name the field."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.control.admin.access import Access
from app.control.admin.alerts import alerts_router
from app.control.admin.api import admin_app
from app.control.alerts.book import Book
from app.control.alerts.delivery import Delivery
from app.control.alerts.notify import Notifier
from app.control.alerts.past import Past
from app.control.alerts.silences import Silence
from app.control.alerts.states import Alert
from app.control.health.status import Health
from app.core.alert_rules import DEFAULT_RULES
from app.core.keys import Keys
from app.core.redis import RedisLink
from tests.unit.control.admin.parts import known_bots
from tests.unit.control.alerts.parts import Wire

LATER = 4_000_000_000.0


async def metrics() -> tuple[bytes, str]:
    return b"", "text/plain"


@pytest.fixture
def book(link: RedisLink, keys: Keys) -> Book:
    return Book(link, keys)


@pytest.fixture
def wire() -> Wire:
    return Wire("ops")


@pytest.fixture
async def client(book: Book, wire: Wire) -> AsyncIterator[httpx.AsyncClient]:
    app = admin_app(
        access=Access("the-token"),
        known=known_bots(),
        routers=[alerts_router(book, Notifier({"ops": wire, "pager": Wire("pager", standby=True)}), DEFAULT_RULES)],
        metrics=metrics,
        health=Health(lambda: "queue", dict),
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://hub/api/v1",
        headers={"Authorization": "Bearer the-token"},
    ) as client:
        yield client


def alert(rule: str, subject: str, **more: Any) -> Alert:
    return Alert(rule, subject, DEFAULT_RULES[rule].severity, **{"state": "firing", "value": 1.0, "since": 1.0, **more})


async def test_what_fires_stands_first_and_the_worst_above(client: httpx.AsyncClient, book: Book) -> None:
    await book.fold(
        [
            alert("QueueLong", "echo", state="pending"),
            alert("HighCPU", "n1", value=0.934),
            alert("NodeOffline", "n2", value=90.0),
        ],
        [],
    )
    await book.silence(Silence("High*", "*", LATER))
    found = (await client.get("/alerts")).json()
    assert [(one["name"], one["subject"], one["state"]) for one in found] == [
        ("NodeOffline", "n2", "firing"),
        ("HighCPU", "n1", "firing"),
        ("QueueLong", "echo", "pending"),
    ]
    assert [one["value_text"] for one in found] == ["90s", "93.4%", "1"]
    assert [one["silenced_until"] for one in found] == [None, LATER, None]
    assert found[1]["of"] == "node"


async def test_the_past_is_paged(client: httpx.AsyncClient, book: Book) -> None:
    await book.fold([], [Past("fired", float(n), alert("QueueLong", "echo")) for n in range(5)])
    first = (await client.get("/alerts/history", params={"limit": 3})).json()
    rest = (await client.get("/alerts/history", params={"limit": 3, "before": first[-1]["id"]})).json()
    assert [one["at"] for one in first + rest] == [4.0, 3.0, 2.0, 1.0, 0.0]


async def test_a_silence_is_made_shown_and_ended(client: httpx.AsyncClient, book: Book) -> None:
    made = await client.post("/alerts/silence", json={"name": "HighCPU", "subject": "n*", "for": "2h", "by": "Ann"})
    assert made.status_code == 200
    [shown] = (await client.get("/alerts/silences")).json()
    assert shown == made.json()
    assert (shown["name"], shown["subject"], shown["by"]) == ("HighCPU", "n*", "Ann")
    [kept] = (await book.standing()).silences
    assert kept.until == shown["until"]
    ended = await client.delete("/alerts/silence", params={"name": "HighCPU", "subject": "n*"})
    assert ended.status_code == 200
    again = await client.delete("/alerts/silence", params={"name": "HighCPU", "subject": "n*"})
    assert again.status_code == 404
    assert (await client.get("/alerts/silences")).json() == []


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "Nothing"}, "name"),
        ({"name": "HighCPU", "for": "soon"}, "for"),
        ({"name": "HighCPU", "for": "0s"}, "for"),
        ({"name": "HighCPU", "until": 1}, "until"),
    ],
    ids=["none", "empty", "unknown", "no-span", "no-time", "no-such-field"],
)
async def test_a_wrong_silence_names_the_field(
    client: httpx.AsyncClient, book: Book, asked: dict[str, Any], field: str
) -> None:
    answer = await client.post("/alerts/silence", json=asked)
    assert answer.status_code == 422
    assert field in answer.json()["error"]["message"]
    assert (await book.standing()).silences == ()


async def test_what_is_not_sent_as_json_is_told_how(client: httpx.AsyncClient) -> None:
    """`curl -d` alone calls it a form."""
    for kind in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):
        answer = await client.post("/alerts/silence", content='{"name": "HighCPU"}', headers=kind)
        assert answer.status_code == 422
        assert "Content-Type: application/json" in answer.json()["error"]["message"]


async def test_channels_are_shown_with_what_went_wrong(client: httpx.AsyncClient, book: Book) -> None:
    await book.keep_deliveries({"ops": Delivery(2, "ops is down", 5.0)})
    found = (await client.get("/alerts/channels")).json()
    assert found == [
        {"name": "ops", "standby": False, "failures": 2, "error": "ops is down", "at": 5.0},
        {"name": "pager", "standby": True, "failures": 0, "error": "", "at": None},
    ]


async def test_a_channel_is_tried(client: httpx.AsyncClient, wire: Wire) -> None:
    assert (await client.post("/alerts/channels/ops/test")).status_code == 200
    assert wire.news() == [("firing", "Test/of the channel ops")]
    wire.refusals = 1
    failed = await client.post("/alerts/channels/ops/test")
    assert (failed.status_code, failed.json()["error"]["message"]) == (503, "ops is down")
    assert (await client.post("/alerts/channels/none/test")).status_code == 404


async def test_nobody_without_the_token_silences(client: httpx.AsyncClient, book: Book) -> None:
    answer = await client.post("/alerts/silence", json={"name": "HighCPU"}, headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert (await book.standing()).silences == ()
