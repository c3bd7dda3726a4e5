"""Nobody sees or changes anything without the token; what is to be seen is there, in both languages; nothing is run."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import get_args

import httpx
import pytest

from app.channel.limits import BoundKind
from app.channel.usage import LimitUse, QuotaUse
from app.control.alerts.book import Standing
from app.control.alerts.states import Alert
from app.control.alerts.view import alerts_shown
from app.control.dashboard.sessions import COOKIE
from app.core.alert_rules import DEFAULT_RULES
from tests.unit.control.dashboard.conftest import TOKEN, Town

FIRING = Alert("QueueLong", "support", "warning", "firing", 240, since=1_790_000_000.0)
[ALERT] = alerts_shown(Standing({FIRING.key: FIRING}, ()), DEFAULT_RULES, 1_790_000_000.0)


@pytest.fixture
async def guest(town: Town) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=town.url) as client:
        yield client


@pytest.fixture
async def admin(guest: httpx.AsyncClient) -> httpx.AsyncClient:
    answer = await guest.post("/login", data={"token": TOKEN})
    assert answer.status_code == 303
    return guest


async def csrf(client: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', (await client.get("/")).text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", ["/", "/parts/bots", "/parts/alerts", "/traffic"])
async def test_a_guest_is_led_to_the_login(guest: httpx.AsyncClient, path: str) -> None:
    answer = await guest.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/login")
    renewing = await guest.get(path, headers={"HX-Request": "true"})
    assert (renewing.status_code, renewing.headers["hx-redirect"]) == (401, "/dashboard/login")


async def test_a_guest_silences_nothing(town: Town, guest: httpx.AsyncClient) -> None:
    answer = await guest.post("/silence", data={"name": "queue_waiting", "for": "1h"})
    assert answer.status_code == 303
    assert town.silenced == []


async def test_a_wrong_token_is_refused_and_guessing_is_slowed(guest: httpx.AsyncClient) -> None:
    for _ in range(10):
        answer = await guest.post("/login", data={"token": "guess"})
        assert answer.status_code == 401
        assert COOKIE not in answer.cookies
    answer = await guest.post("/login", data={"token": TOKEN})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("origin", ["https://elsewhere.test", "null", "http://[", ""])
async def test_a_login_from_another_site_is_refused(guest: httpx.AsyncClient, origin: str) -> None:
    answer = await guest.post("/login", data={"token": TOKEN}, headers={"Origin": origin})
    assert answer.status_code == 403
    assert COOKIE not in answer.cookies


@pytest.mark.parametrize(("scheme", "secure"), [("http", False), ("https", True)])
async def test_a_login_through_what_ends_tls_in_front_of_the_hub(
    guest: httpx.AsyncClient, scheme: str, secure: bool
) -> None:
    headers = {"Origin": f"{scheme}://hub.example.com", "Host": "hub.example.com"}
    answer = await guest.post("/login", data={"token": TOKEN}, headers=headers)
    assert answer.status_code == 303
    assert ("Secure" in answer.headers["set-cookie"]) is secure


async def test_the_session_is_a_cookie_that_scripts_and_other_sites_do_not_have(guest: httpx.AsyncClient) -> None:
    answer = await guest.post("/login", data={"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/dashboard" in cookie
    assert TOKEN not in cookie


async def test_a_huge_form_is_not_read(guest: httpx.AsyncClient) -> None:
    answer = await guest.post("/login", data={"token": TOKEN, "more": "x" * 20_000})
    assert answer.status_code == 401


async def test_logout_ends_the_session(admin: httpx.AsyncClient) -> None:
    cookie = admin.cookies[COOKIE]
    await admin.post("/logout", data={"csrf": await csrf(admin)})
    answer = await admin.get("/", headers={"Cookie": f"{COOKIE}={cookie}"})
    assert answer.status_code == 303


async def test_a_form_without_its_token_changes_nothing(town: Town, admin: httpx.AsyncClient) -> None:
    for wrong in ({}, {"csrf": "0" * 64}):
        answer = await admin.post("/silence", data={"name": "queue_waiting", "for": "1h", **wrong})
        assert answer.status_code == 403
    assert town.silenced == []


async def test_an_alert_is_silenced(town: Town, admin: httpx.AsyncClient) -> None:
    town.firing = [ALERT]
    form = {"name": FIRING.rule, "subject": FIRING.subject, "for": "8h", "csrf": await csrf(admin)}
    assert (await admin.post("/silence", data=form)).headers["location"] == "/dashboard/#alerts"
    part = await admin.post("/silence", data=form, headers={"HX-Request": "true"})
    assert "Many events wait (240)" in part.text
    assert "<html" not in part.text
    assert town.silenced == [("QueueLong", "support", 8 * 3600.0)] * 2
    assert (await admin.post("/silence", data={**form, "for": "99y"})).status_code == 400


async def test_what_is_to_be_seen_is_there(town: Town, admin: httpx.AsyncClient) -> None:
    town.rows = [
        {
            "id": "support",
            "state": "ready",
            "app_id": "cli_a1b2c3",
            "handler": "support",
            "faults": [],
            "errors": 2.5,
            "waiting": 7,
            "dead": 2,
        },
        {
            "id": "hr",
            "state": "broken",
            "handler": None,
            "faults": ["config.yaml: <b>x</b>"],
            "errors": 0.0,
            "waiting": 0,
            "dead": 0,
        },
    ]
    town.uses = [
        *(LimitUse(kind, "oc_1", "", 4, 4.0, 5, 1.0, 3, 1.5, 0.0) for kind in get_args(BoundKind)),
        LimitUse("app", "cli_a1b2c3", "im.message.create", 0, 0.0, 50, 1.0, 0, 0.0, None),
    ]
    town.months = [QuotaUse("acme", "2026-11", 9_000, 10_000, 12_000, stopped=True)]
    town.firing = [ALERT]
    page = (await admin.get("/")).text
    for text in (
        "support",
        "12",
        "ready",
        "broken",
        "2.5",
        "oc_1",
        "4 of 5 in 1 s",
        "3 waiting, 1.5 s",
        "Many events wait (240)",
    ):
        assert text in page
    assert "<b>support</b> <small>im.message.create</small>" in page
    assert "used up, as Feishu says" in page
    assert "9,000 of 10,000, 12,000 by the end of the month" in page
    # What others wrote is text, never markup.
    assert "config.yaml: &lt;b&gt;x&lt;/b&gt;" in page


@pytest.mark.parametrize(("accept", "word"), [("zh-CN,zh;q=0.9", "机器人"), ("en-US", "Bots"), ("fr", "Bots")])
async def test_it_speaks_the_browsers_language(admin: httpx.AsyncClient, accept: str, word: str) -> None:
    assert f"<h2>{word}</h2>" in (await admin.get("/", headers={"Accept-Language": accept})).text


async def test_the_other_language_is_kept(admin: httpx.AsyncClient) -> None:
    await admin.post("/language", headers={"Accept-Language": "en"})
    assert "<h2>机器人</h2>" in (await admin.get("/", headers={"Accept-Language": "en"})).text


async def test_without_redis_the_page_says_so(town: Town, admin: httpx.AsyncClient) -> None:
    town.away = True
    answer = await admin.get("/")
    assert answer.status_code == 200
    assert "Redis does not answer" in answer.text


@pytest.mark.parametrize("path", ["/", "/login", "/parts/bots", "/traffic"])
async def test_nothing_comes_from_elsewhere(admin: httpx.AsyncClient, path: str) -> None:
    answer = await admin.get(path)
    policy = answer.headers["content-security-policy"] if answer.status_code == 200 else ""
    assert answer.status_code == 303 or "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text)


async def test_an_unknown_part_is_404(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/parts/base")).status_code == 404
