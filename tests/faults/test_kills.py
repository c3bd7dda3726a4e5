"""Processes die at random moments: nothing that was answered 200 is lost, answered twice or out of order."""

from __future__ import annotations

import random
import secrets
import sys
from pathlib import Path

import pytest

from app.control.playground.uuids import UuidMode, UuidScope
from app.storage.master_key import new_key
from tests.faults.storm import Storm, storm_bots
from tests.redis_servers import Server
from tests.system.world import NO_LIMITS, Site, site_at

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

CONVERSATIONS = 100
# Events of a conversation, so that of all of them 5,000 are answered 200 although a tenth may be refused; and kills.
_WHOLE = 56, 30
SYNCED = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction")


@pytest.fixture
def seed(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> int:
    """Decides everything that is chosen; printed, so that a run can be repeated."""
    given = request.config.getoption("--seed")
    seed = secrets.randbelow(1 << 32) if given is None else given
    with capsys.disabled():
        sys.stdout.write(f"\n{request.node.name}: --seed {seed}\n")
    return int(seed)


@pytest.fixture
def factor(request: pytest.FixtureRequest) -> int:
    """How many times the size of a CI run."""
    return 5 if request.config.getoption("--long") else 1


def unreliable(site: Site) -> None:
    """Have Feishu repeat events, and lose some answers of its API on the way."""
    site.playground.limits.enabled = False
    site.playground.chaos.duplicate = 0.1
    site.playground.chaos.duplicate_fresh_id = 0.05
    site.playground.faults.add("lost", probability=0.005, api="im.v1.message.*")


async def one_node(
    root: Path, database_url: str, seed: int, mode: UuidMode, scope: UuidScope, each: int, kills: int
) -> None:
    """A node with its embedded engine; any of its processes may die."""
    async with site_at(root, database_url, seed=seed, uuid_mode=mode, uuid_scope=scope) as site:
        unreliable(site)
        site.settings(limits=NO_LIMITS)
        bots = storm_bots(site)
        hub = site.hub()
        await hub.start()
        site.point_at(hub)
        storm = Storm(site, [hub], random.Random(seed))
        await storm.blow(storm.people(bots, CONVERSATIONS), each, kills, ("node", "worker", "engine"))
        await storm.judge()
        await storm.leaves_nothing(hub.engine_url)
        assert set(storm.ended) <= {-9}, f"a node ended by itself: {storm.ended}"
        assert await hub.stop() == 0


@pytest.mark.parametrize(("mode", "scope"), [("original", "app"), ("error", "receiver")])
async def test_storm(
    tmp_path: Path, database_url: str, seed: int, factor: int, mode: UuidMode, scope: UuidScope
) -> None:
    """The whole of it as shipped in the harder mode, and enough of the others to see that it holds there too."""
    each, kills = _WHOLE if (mode, database_url) == ("error", "sqlite") or factor > 1 else (20, 12)
    await one_node(tmp_path, database_url, seed, mode, scope, each * factor, kills * factor)


@pytest.mark.long
@pytest.mark.parametrize(("mode", "scope"), [("original", "receiver"), ("error", "app")])
async def test_storm_in_the_other_modes(
    tmp_path: Path,
    database_url: str,
    seed: int,
    factor: int,
    mode: UuidMode,
    scope: UuidScope,
) -> None:
    await one_node(tmp_path, database_url, seed, mode, scope, _WHOLE[0] * factor, _WHOLE[1] * factor)


async def test_one_of_two_nodes_on_an_external_redis(tmp_path: Path, database_url: str, seed: int, factor: int) -> None:
    with Server(*SYNCED) as redis:
        async with site_at(tmp_path, database_url, seed=seed) as site:
            unreliable(site)
            # Order over two gateways holds while Redis can be reached: a spool would keep it for each alone.
            site.settings(limits=NO_LIMITS, spool=False, redis={"url": redis.url})
            bots = storm_bots(site)
            key = {"HUB_MASTER_KEY": new_key()}
            hubs = [site.hub(name, env=key) for name in ("first", "second")]
            for hub in hubs:
                await hub.start()
            storm = Storm(site, hubs, random.Random(seed))
            each, kills = _WHOLE if database_url == "sqlite" or factor > 1 else (20, 10)
            await storm.blow(storm.people(bots, CONVERSATIONS), each * factor, kills * factor, ("node", "worker"))
            await storm.judge()
            await storm.leaves_nothing(redis.url)
            assert set(storm.ended) <= {-9}, f"a node ended by itself: {storm.ended}"
