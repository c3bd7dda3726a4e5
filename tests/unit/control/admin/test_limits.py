"""Feishu's limits by API, by command and as metrics: what was used, who waits, and a quota that goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.core import CollectorRegistry
from typer.testing import CliRunner

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.usage import Usage
from app.cli.main import app as command
from app.control.admin.limits import limits_router
from app.control.health.limit_gauges import limit_gauges
from app.core.ending import ended
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.storage.master_key import new_key
from tests.unit.channel.parts import bot
from tests.waiting import until


@pytest.fixture
async def usage(link: RedisLink, keys: Keys) -> AsyncIterator[Usage]:
    """After one call of one bot, whose quota Feishu stopped."""
    limiter = Limiter(link, keys, SendLimits())
    telling = asyncio.create_task(limiter.run())
    await limiter.slot(limiter.bounds.of(bot("https://open.feishu.cn"), "im.message.create", chat="oc_1"))
    limiter.quotas.count("support")
    await limiter.quotas.stop("support")
    usage = Usage(link, keys, SendLimits())

    async def told() -> bool:
        uses = await usage.read()
        calm = bool(uses) and not any(use.waiting for use in uses)
        return calm and [use.used for use in await usage.quotas()] == [1]

    await until(told)
    yield usage
    await ended(telling)
    await limiter.close()


async def test_the_api_shows_limits_and_quotas_and_lets_one_go_on(usage: Usage) -> None:
    app = FastAPI()
    app.include_router(limits_router(usage))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        limits: list[dict[str, Any]] = (await client.get("/limits")).json()
        assert {(limit["kind"], limit["name"], limit["span"]) for limit in limits} == {
            ("app", "cli_a", 1.0),
            ("app", "cli_a", 60.0),
            ("chat", "oc_1", 1.0),
        }
        [quota] = (await client.get("/quotas")).json()
        assert (quota["group"], quota["used"], quota["stopped"]) == ("default", 1, True)
        assert (await client.post("/quotas/default/resume")).status_code == 200
        assert not (await client.get("/quotas")).json()[0]["stopped"]
        missing = await client.post("/quotas/default/resume")
        assert missing.status_code == 404
        assert "default" in missing.text


async def test_the_metrics_page_shows_them(usage: Usage) -> None:
    registry = CollectorRegistry()
    registry.register(await limit_gauges(usage))
    place = {"kind": "app", "name": "cli_a", "api": "im.message.create"}
    assert registry.get_sample_value("hub_limit_used", {**place, "span": "60s"}) == 1
    assert registry.get_sample_value("hub_limit_allowed", {**place, "span": "60s"}) == 1000
    assert registry.get_sample_value("hub_limit_waiting", place) == 0
    assert registry.get_sample_value("hub_limit_wait_seconds", place) == 0
    assert registry.get_sample_value("hub_quota_used", {"quota": "default"}) == 1
    assert registry.get_sample_value("hub_quota_stopped", {"quota": "default"}) == 1
    assert registry.get_sample_value("hub_quota_allowed", {"quota": "default"}) is None


async def test_the_commands_show_them(
    usage: Usage, keys: Keys, engine_url: str, database_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "HUB_REDIS_URL": engine_url,
        "HUB_DATABASE_URL": database_url,
        "HUB_REDIS__PREFIX": keys.prefix,
        "HUB_MASTER_KEY": new_key(),
        "HUB_DATA_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)

    async def run(*words: str) -> tuple[int, str]:
        said = await asyncio.to_thread(CliRunner().invoke, command, ["limits", *words, "-c", str(tmp_path)])
        return said.exit_code, said.output

    status, shown = await run("list", "--json")
    assert status == 0, shown
    assert "app" in {limit["kind"] for limit in json.loads(shown)}  # the chat may be forgotten by now
    assert json.loads((await run("quota", "--json"))[1])[0]["used"] == 1
    assert "cli_a" in (await run("list"))[1]
    assert (await run("resume", "default"))[0] == 0
    assert (await run("resume", "default"))[0] == 1
