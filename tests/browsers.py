"""A real browser for the tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
# On a busy machine; what is awaited ends the wait.
expect.set_options(timeout=20_000)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Headless Chromium; a test without one fails in CI and is skipped elsewhere."""
    if _CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: install it, this test must run in CI")
        pytest.skip("no Chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=_QUIET)
        yield browser
        await browser.close()


async def new_page(browser: Browser, **options: Any) -> tuple[Page, list[str]]:
    """A page, and whatever its console complains of (a refused inline script, a failed file, an error)."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page, complaints
