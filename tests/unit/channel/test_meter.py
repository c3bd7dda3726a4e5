"""How many processes send: heard from Redis, and kept for who starts while it is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.meter import Meter
from app.core.clock import SYSTEM_CLOCK
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from tests.unit.channel.parts import FastClock, bot
from tests.unit.channel.slots import take

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "data" / "senders"


def kept(memory: Path, written: str | None = None) -> str:
    """What the file holds, `written` if that is given."""
    if written is not None:
        memory.parent.mkdir()
        memory.write_text(written)
    return memory.read_text()


async def tell(link: RedisLink, keys: Keys, *meters: Meter) -> None:
    """Each once, as if nobody had told before."""
    await link.commands.delete(keys.limits)
    for meter in meters:
        await meter.tell()


async def test_who_starts_while_redis_is_away_keeps_the_share_that_it_had(
    link: RedisLink, keys: Keys, memory: Path
) -> None:
    await tell(link, keys, *(Meter(link, keys, 0.1, SYSTEM_CLOCK, memory) for _ in range(4)))
    nowhere = await connect("unix:///nonexistent/redis.sock")
    limiter = Limiter(nowhere, keys, SendLimits(), memory=memory)
    spec = bot("https://open.feishu.cn", app_per_second=8)
    times = sorted([(await take(limiter, spec)).at for _ in range(3)])
    assert times[2] - times[0] >= 1.0  # two of the eight a second are this process'
    await limiter.close()
    await nowhere.close()


async def test_a_stop_of_all_one_by_one_leaves_their_number(link: RedisLink, keys: Keys, memory: Path) -> None:
    clock = FastClock()
    meters = [Meter(link, keys, 0.1, clock, memory) for _ in range(3)]
    await tell(link, keys, *meters)
    for left in (2, 1):
        await tell(link, keys, *meters[-left:])
        assert meters[-1].processes == left
    assert kept(memory) == "3"
    clock.jumped += 50.0
    await tell(link, keys, *meters)  # they are back
    clock.jumped += 50.0
    await tell(link, keys, meters[-1])
    assert kept(memory) == "3"
    clock.jumped += 61.0
    await tell(link, keys, meters[-1])
    assert kept(memory) == "1"


@pytest.mark.parametrize("written", ["", "many", "-4", "\0"])
async def test_what_is_no_number_counts_as_one(link: RedisLink, keys: Keys, memory: Path, written: str) -> None:
    kept(memory, written)
    assert Meter(link, keys, 0.1, SYSTEM_CLOCK, memory).processes == 1


async def test_a_disk_that_takes_nothing_stops_nobody(link: RedisLink, keys: Keys, tmp_path: Path) -> None:
    meters = [Meter(link, keys, 0.1, SYSTEM_CLOCK, tmp_path) for _ in range(2)]  # a directory stands there
    await tell(link, keys, *meters)
    assert meters[-1].processes == 2
