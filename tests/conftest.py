"""A real engine for every test that needs Redis, and keys that no other test sees."""

from __future__ import annotations

import gc
import os
import re
import sys
import uuid
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING

import pytest

from app.core.keys import LASTING, Keys
from app.core.redis import RedisLink, connect
from tests.postgres_server import PostgresServer, find_program
from tests.redis_servers import Server
from tests.servers import needed

if TYPE_CHECKING:
    from playwright.async_api import Browser

# What a CI service or a terminal says of itself would colour and fold what commands print.
for _told in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(_told, None)

# `{bot}:part:rest`, `part:rest` or `part`
_PART = re.compile(r"^(?:\{[^}]*\}:)?([^:]+)")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the fault tests can be told."""
    parser.addoption("--long", action="store_true", help="the long fault runs: every mode, five times the kills")
    parser.addoption("--seed", type=int, default=None, help="repeat a fault run that printed this seed")


def pytest_unconfigure() -> None:
    """Close the event loop that lark-oapi makes when it is imported, and leaves to the end of the process."""
    if client := sys.modules.get("lark_oapi.ws.client"):
        client.loop.close()


# One process would be left with the longest of them at the end.
_LONGEST_FIRST = ("faults", "system")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only a long run does; put in front what takes longest."""
    if not config.getoption("--long"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    items.sort(key=lambda item: [layer not in item.path.parts for layer in _LONGEST_FIRST])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Let go of what a failed test left open before the next one begins, which would else fail of its warnings."""
    ran = yield
    if hasattr(sys, "last_value"):
        del sys.last_type, sys.last_value, sys.last_traceback
        with warnings.catch_warnings(action="ignore"):
            gc.collect()
    return ran


@pytest.fixture(scope="session", autouse=True)
def logs_stay_as_they_are() -> Iterator[None]:
    """A command that runs in the tests' own process would set up logging for every test that follows."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.core.logs.configure_logs", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def engine_url() -> Iterator[str]:
    """A real server on a unix socket, shared by the whole run; it writes its file, but syncs nothing."""
    flags = ("--appendonly", "yes", "--appendfsync", "no", "--save", "", "--maxmemory-policy", "noeviction")
    with Server(*flags) as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_programs() -> None:
    """Skips where PostgreSQL cannot be had."""
    needed("pg_ctlcluster", find_program("initdb"))


@pytest.fixture(scope="session")
def postgres(postgres_programs: None) -> Iterator[PostgresServer]:
    """A real PostgreSQL, shared by the whole run."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database of the test's own; the test runs once with each kind."""
    if request.param == "sqlite":
        yield "sqlite"  # the file hub.db in the data directory, as shipped
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture
async def link(engine_url: str) -> AsyncIterator[RedisLink]:
    """Clients of the test engine."""
    link = await connect(engine_url)
    yield link
    await link.close()


@pytest.fixture
async def keys(link: RedisLink) -> AsyncIterator[Keys]:
    """Key names under a prefix of the test's own; what was written under it is deleted afterwards."""
    keys = Keys(f"t{uuid.uuid4().hex[:12]}:")
    yield keys
    if written := await _written(link, keys):
        await link.commands.delete(*written)


@pytest.fixture
async def no_key_without_ttl(link: RedisLink, keys: Keys) -> AsyncIterator[None]:
    """Fails the test if it leaves a key that neither runs out nor is listed as lasting."""
    yield
    unbounded = []
    for name in await _written(link, keys):
        part = _PART.match(name.decode().removeprefix(keys.prefix))
        if await link.commands.ttl(name) == -1 and (part is None or part[1] not in LASTING):
            unbounded.append(name.decode())
    assert not unbounded, f"keys without a time to live that are not in LASTING: {unbounded}"


async def _written(link: RedisLink, keys: Keys) -> list[bytes]:
    return [name async for name in link.commands.scan_iter(match=f"{keys.prefix}*", count=1000)]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Headless Chromium."""
    from tests.browsers import chromium

    async with chromium() as browser:
        yield browser
