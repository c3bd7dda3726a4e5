"""One living holder of a node id, and a beat that says who lives."""

from __future__ import annotations

import os
import socket

import pytest

from app.control.cluster.identity import node_id
from app.control.cluster.membership import Membership
from app.core.clock import SystemClock
from app.core.errors import StartError
from app.core.keys import Keys
from app.core.redis import RedisLink

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


class FastClock(SystemClock):
    """Sleeps not at all: what is waited for has passed."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


def member(link: RedisLink, keys: Keys, boot: str) -> Membership:
    return Membership(link, keys, "n1", boot, lambda: {"roles": "gateway"}, clock=FastClock())


async def test_a_living_holder_of_the_id_is_told(link: RedisLink, keys: Keys) -> None:
    await member(link, keys, "one").join()

    with pytest.raises(StartError, match=f"{socket.gethostname()} pid {os.getpid()}"):
        await member(link, keys, "two").join()


async def test_the_same_process_may_beat_on(link: RedisLink, keys: Keys) -> None:
    one = member(link, keys, "one")
    await one.join()
    await link.commands.pexpire(keys.node("n1"), 500)
    await one.join()
    assert 500 < await link.commands.pttl(keys.node("n1")) <= 3500


async def test_an_id_is_free_when_its_holder_left(link: RedisLink, keys: Keys) -> None:
    one = member(link, keys, "one")
    await one.join()
    await one.leave()
    await member(link, keys, "two").join()


async def test_a_killed_process_of_this_machine_does_not_hold_its_id(link: RedisLink, keys: Keys) -> None:
    await member(link, keys, "one").join()
    await link.commands.hset(keys.node("n1"), "where", f"{socket.gethostname()} pid {os.getppid()}")
    with pytest.raises(StartError, match=str(os.getppid())):
        await member(link, keys, "two").join()
    # No process has this number: Linux counts up to 4194304.
    await link.commands.hset(keys.node("n1"), "where", f"{socket.gethostname()} pid 5000000")
    await member(link, keys, "two").join()


async def test_who_died_elsewhere_is_waited_for_as_long_as_its_last_beat_counts(link: RedisLink, keys: Keys) -> None:
    class UntilItRunsOut(FastClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if self.slept >= 3.5:
                await link.commands.delete(keys.node("n1"))

    await member(link, keys, "one").join()
    await link.commands.hset(keys.node("n1"), "where", "another-machine pid 1")
    await Membership(link, keys, "n1", "two", dict, clock=UntilItRunsOut()).join()


async def test_nodes_are_listed_dead_or_alive(link: RedisLink, keys: Keys) -> None:
    one = member(link, keys, "one")
    await one.join()
    await link.commands.zadd(keys.nodes, {"gone": 1.0})

    nodes = {node["id"]: node for node in await one.nodes()}

    assert nodes["n1"]["alive"] is True
    assert nodes["n1"]["roles"] == "gateway"
    assert (nodes["gone"]["alive"], nodes["gone"]["last_seen"]) == (False, 1.0)


async def test_a_node_that_ends_in_order_is_not_missed(link: RedisLink, keys: Keys) -> None:
    one = member(link, keys, "one")
    await one.join()
    await link.commands.zadd(keys.nodes, {"gone": 1.0})
    await one.leave()
    assert [node["id"] for node in await one.nodes()] == ["gone"]
    await one.forget("gone")
    assert await one.nodes() == []


async def test_numbers_are_said_with_the_beat(link: RedisLink, keys: Keys) -> None:
    one = Membership(link, keys, "n1", "one", lambda: {"vitals": '{"cpu": 0.5}'})
    await one.join()
    [node] = await one.nodes()
    assert node["vitals"] == {"cpu": 0.5}


def test_the_id_is_made_once_and_kept(tmp_path: object) -> None:
    from pathlib import Path

    directory = Path(str(tmp_path))
    first = node_id(directory, None)

    assert node_id(directory, None) == first
    assert node_id(directory, "given") == "given"
