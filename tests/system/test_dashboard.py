"""The dashboard of a hub that runs: what it says of bots, sends and alerts is what has happened."""

from __future__ import annotations

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from tests.browsers import new_page
from tests.system.world import Site

pytestmark = pytest.mark.system


async def test_the_operator_looks_at_a_hub_that_runs(site: Site, browser: Browser) -> None:
    site.bot("echo")
    site.bot("support")
    site.settings(
        alerts={"interval": "500ms", "settle": "1s", "rules": {"BotBroken": {"for": "0s"}}},
        security={"trusted_proxies": ["127.0.0.1"]},
    )
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    assert await site.asks("support", "hello") == "echo hello"
    page, complaints = await new_page(browser, locale="en-US")
    await page.goto(f"{hub.admin_url}/dashboard")
    await page.locator("#token").fill((hub.data_dir / "admin_token").read_text().strip())
    await page.keyboard.press("Enter")
    await expect(page.locator("#bots")).to_contain_text("support")
    await expect(page.locator("#limits")).to_contain_text("support")
    await expect(page.locator("#limits")).to_contain_text("im.message.reply")
    # A configuration that breaks is seen: the bot, why, and the alert, which is silenced by a click.
    (site.config / "echo" / "config.yaml").write_text("timeout: soon\n")
    await expect(page.locator("#bots")).to_contain_text("outdated")
    await expect(page.locator("#bots")).to_contain_text("timeout")
    alert = page.locator("#alerts li", has_text="BotBroken")
    await expect(alert).to_contain_text("firing")
    await alert.get_by_role("button", name="1h").click()
    await expect(alert).to_contain_text("silenced until")
    assert complaints == []
    # Who guesses the token keeps nobody out who comes through the same proxy.
    assert [await guess(hub.admin_url, "192.0.2.1") for _ in range(11)] == [401] * 10 + [429]
    assert await guess(hub.admin_url, "192.0.2.2") == 401


async def guess(url: str, address: str) -> int:
    """Log in with a wrong token, by a proxy that names the address; the answer's status."""
    async with (
        aiohttp.ClientSession(headers={"X-Forwarded-For": address}) as session,
        session.post(f"{url}/dashboard/login", data={"token": "guess"}) as answer,
    ):
        return answer.status
