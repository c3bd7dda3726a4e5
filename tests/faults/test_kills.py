"""Processes die at random moments: nothing that was answered 200 is lost, answered twice or out of order."""

from __future__ import annotations

import random
import secrets
import sys
from pathlib import Path

import pytest

from app.storage.master_key import new_key
from tests.faults.each_way import EACH_WAY, Uuids
from tests.faults.storm import Storm, storm_bots
from tests.redis_servers import Server
from tests.system.world import NO_LIMITS, Site, site_at

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

CONVERSATIONS = 100
# Events of a conversation, so that of all of them 5,000 are answered 200 although a tenth may be refused; and kills.
_WHOLE = 56, 30
_SMALL = 20, 12
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
def size(request: pytest.FixtureRequest, database_url: str, uuids: Uuids) -> tuple[int, int]:
    """Events of a conversation, and kills: the whole in the harder mode on the database that is shipped.

    Of the others as much as shows that it holds there too; of each five times the whole in a long run.
    """
    if request.config.getoption("--long"):
        return 5 * _WHOLE[0], 5 * _WHOLE[1]
    return _WHOLE if (database_url, uuids[0]) == ("sqlite", "error") else _SMALL


def unreliable(site: Site) -> None:
    """Have Feishu repeat events, and lose some answers of its API on the way."""
    site.playground.limits.enabled = False
    site.playground.chaos.duplicate = 0.1
    site.playground.chaos.duplicate_fresh_id = 0.05
    site.playground.faults.add("lost", probability=0.005, api="im.v1.message.*")


@EACH_WAY
async def test_storm(tmp_path: Path, database_url: str, uuids: Uuids, seed: int, size: tuple[int, int]) -> None:
    """A node with its embedded engine, any of whose processes may die."""
    async with site_at(tmp_path, database_url, uuids, seed=seed) as site:
        unreliable(site)
        site.settings(limits=NO_LIMITS)
        bots = storm_bots(site)
        hub = site.hub()
        await hub.start()
        site.point_at(hub)
        storm = Storm(site, [hub], random.Random(seed))
        await storm.blow(storm.people(bots, CONVERSATIONS), *size, ("node", "worker", "engine"))
        await storm.judge()
        await storm.leaves_nothing(hub.engine_url)
        assert set(storm.ended) <= {-9}, f"a node ended by itself: {storm.ended}"
        assert await hub.stop() == 0


@EACH_WAY
async def test_one_of_two_nodes_on_an_external_redis(
    tmp_path: Path, database_url: str, uuids: Uuids, seed: int, size: tuple[int, int]
) -> None:
    with Server(*SYNCED) as redis:
        async with site_at(tmp_path, database_url, uuids, seed=seed) as site:
            unreliable(site)
            # Order over two gateways holds while Redis can be reached: a spool would keep it for each alone.
            site.settings(limits=NO_LIMITS, spool=False, redis={"url": redis.url})
            bots = storm_bots(site)
            key = {"HUB_MASTER_KEY": new_key()}
            hubs = [site.hub(name, env=key) for name in ("first", "second")]
            for hub in hubs:
                await hub.start()
            storm = Storm(site, hubs, random.Random(seed))
            await storm.blow(storm.people(bots, CONVERSATIONS), *size, ("node", "worker"))
            await storm.judge()
            await storm.leaves_nothing(redis.url)
            assert set(storm.ended) <= {-9}, f"a node ended by itself: {storm.ended}"
