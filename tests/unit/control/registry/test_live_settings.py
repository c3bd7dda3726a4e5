"""hub.yaml is changed while the node runs: tokens of programs at once, all else is said to wait."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from structlog.testing import capture_logs

from app.control.admin.access import Access, Caller
from app.control.registry import live_settings
from app.control.registry.live_settings import LiveSettings
from app.core.ending import ended
from app.core.settings import Settings
from tests.waiting import until

OURS = {"name": "shop", "token": "a-token-of-a-shop-1", "bots": ["support"]}
THEIRS = {"name": "till", "token": "a-token-of-a-till-1", "bots": ["*"]}


class Node:
    """Something that was started with hub.yaml, and lets in who that names."""

    def __init__(self, directory: Path, **env: str) -> None:
        self.file = directory / "hub.yaml"
        self.access = Access("the-admin-token")
        self.live = LiveSettings(self.file, env, self._apply)

    def _apply(self, settings: Settings) -> None:
        self.access.let_in(
            [Caller(one.name, one.token.get_secret_value(), frozenset(one.bots)) for one in settings.api_tokens]
        )

    async def holds(self, **settings: Any) -> list[Any]:
        """What is logged when hub.yaml holds this."""
        self.file.write_text(yaml.safe_dump(settings))
        with capture_logs() as logs:
            await self.live.changed()
        return logs

    def lets_in(self, token: dict[str, Any]) -> bool:
        return self.access.caller(f"Bearer {token['token']}") is not None


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    # A command that another test ran in this process may have left only warnings.
    wrapper = structlog.make_filtering_bound_logger(logging.INFO)
    monkeypatch.setattr(live_settings, "log", structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=wrapper))
    return Node(tmp_path)


async def test_tokens_come_and_go_at_once(node: Node) -> None:
    assert await node.holds(api_tokens=[]) == []
    [said] = await node.holds(api_tokens=[OURS, THEIRS])
    assert (said["event"], said["names"]) == ("api tokens taken up", ["shop", "till"])
    assert (node.lets_in(OURS), node.lets_in(THEIRS)) == (True, True)
    await node.holds(api_tokens=[THEIRS])
    assert (node.lets_in(OURS), node.lets_in(THEIRS)) == (False, True)
    assert node.access.caller("Bearer the-admin-token") is not None


async def test_of_all_else_is_said_that_it_waits_for_a_start(node: Node) -> None:
    await node.holds(server={"port": 8000})
    [said] = await node.holds(server={"port": 8001}, drain_timeout="30s")
    assert (said["log_level"], said["keys"]) == ("warning", ["server.port", "drain_timeout"])
    assert await node.holds(server={"port": 8000}) == [], "as it was started"


async def test_with_faults_all_stays_as_it_was(node: Node) -> None:
    await node.holds(api_tokens=[])
    await node.holds(api_tokens=[OURS])
    [said] = await node.holds(api_tokens=[{"name": "shop", "token": "short", "bots": ["support"]}])
    assert "api_tokens[0].token" in said["faults"][0]
    assert "short" not in str(said).replace("shorter", "")
    assert node.lets_in(OURS)


async def test_no_secret_is_logged(node: Node) -> None:
    await node.holds(api_tokens=[])
    said = await node.holds(api_tokens=[OURS], admin_token="an-admin-token-of-ours")
    assert len(said) == 2
    assert "a-token-of-a-shop-1" not in str(said)
    assert "an-admin-token-of-ours" not in str(said)


async def test_the_file_is_watched(node: Node) -> None:
    running = asyncio.create_task(node.live.run())
    try:
        await until(lambda: node.live._first is not None)
        node.file.write_text(yaml.safe_dump({"api_tokens": [OURS]}))
        await until(lambda: node.lets_in(OURS))
        node.file.unlink()
        await until(lambda: not node.lets_in(OURS))
    finally:
        await ended(running)
