"""A node without Redis watches itself, and the cluster takes over what it told."""

from __future__ import annotations

from app.control.alerts.book import Book
from app.control.alerts.lookout import Lookout
from app.control.alerts.notify import Notifier
from app.control.alerts.states import Timing
from app.core.alert_rules import DEFAULT_RULES
from app.core.keys import Keys
from app.core.redis import RedisLink
from tests.unit.control.alerts.parts import HandClock, Wire
from tests.waiting import until


class Node:
    """A node whose Redis and spool are as the test says."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self.clock, self.wire, self.book = HandClock(), Wire("ops"), Book(link, keys)
        self.away_since: float | None = None
        self.spooled = 0
        self.heard = 0.0
        self.lookout = Lookout(
            "n1",
            self.book,
            Notifier({"ops": self.wire}, clock=self.clock),
            DEFAULT_RULES,
            lambda: 0.0 if self.away_since is None else self.clock.passed - self.away_since,
            lambda: self.spooled,
            lambda: self.heard,
            interval=5.0,
            timing=Timing(),
            clock=self.clock,
        )

    async def later(self, seconds: float) -> None:
        self.clock.passed += seconds
        await self.lookout.once()


async def test_it_tells_of_redis_and_of_the_spool(link: RedisLink, keys: Keys) -> None:
    node = Node(link, keys)
    await node.later(5)
    node.away_since, node.spooled = node.clock.passed, 3
    await node.later(5)
    await node.later(4)
    assert node.wire.got == []
    await node.later(6)
    await until(lambda: len(node.wire.got) == 2)
    assert sorted(node.wire.news()) == [("firing", "RedisAway/n1"), ("firing", "SpoolInUse/n1")]
    assert node.lookout.holds is True
    await node.later(5)
    assert len(node.wire.got) == 2

    node.away_since = None
    await node.later(5)
    standing = await node.book.standing()
    assert {key: (alert.state, alert.told is not None) for key, alert in standing.alerts.items()} == {
        "RedisAway/n1": ("firing", True),
        "SpoolInUse/n1": ("firing", True),
    }
    assert [entry.what for _, entry in await node.book.history()] == ["fired", "fired"]


async def test_a_short_outage_is_not_told(link: RedisLink, keys: Keys) -> None:
    node = Node(link, keys)
    node.away_since = 0.0
    await node.later(5)
    node.away_since = None
    await node.later(5)
    assert (node.wire.got, node.lookout.holds) == ([], False)
    assert (await node.book.standing()).alerts == {}


async def test_an_outage_that_comes_again_is_the_same_one(link: RedisLink, keys: Keys) -> None:
    node = Node(link, keys)
    node.away_since = 0.0
    await node.later(15)
    await until(lambda: node.wire.got)
    node.away_since = None
    await node.later(5)
    node.away_since = node.clock.passed
    await node.later(15)
    await node.later(15)
    assert node.wire.news() == [("firing", "RedisAway/n1")]
    node.away_since = None
    await node.later(5)
    await node.later(61)
    node.away_since = node.clock.passed
    await node.later(15)
    await until(lambda: len(node.wire.got) == 2)


async def test_the_cluster_hears_nothing_of_a_spool_that_the_node_tells_of(link: RedisLink, keys: Keys) -> None:
    node = Node(link, keys)
    node.heard, seen = 4.0, 5.0
    # The heartbeats of now may be read by a Redis that hangs when it goes on.
    assert node.lookout.left_to_the_cluster(3, seen) == 0
    node.away_since, node.spooled = 4.0, 3
    await node.later(20)
    node.away_since, node.heard = None, 21.0
    assert node.lookout.holds
    assert node.lookout.left_to_the_cluster(3, seen) == 0, "though it was seen before the node told of it"
    await node.later(5)
    assert node.lookout.left_to_the_cluster(3, seen) == 3


async def test_rules_over_other_signals_are_left_to_the_cluster(link: RedisLink, keys: Keys) -> None:
    node = Node(link, keys)
    assert set(node.lookout._rules) == {"RedisAway", "SpoolInUse"}
