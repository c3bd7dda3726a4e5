"""Who evaluates in a cluster, what it keeps, and what its successor finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.control.alerts.book import Book
from app.control.alerts.evaluator import Evaluator
from app.control.alerts.notify import Notifier
from app.control.alerts.round import Readings
from app.control.alerts.silences import Silence
from app.control.alerts.states import Alert, Timing
from app.core.errors import HubError
from app.core.keys import Keys
from app.core.redis import RedisLink
from tests.unit.control.alerts.parts import HandClock, Wire, rule
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


class Cluster:
    """Nodes over one Redis, whose signals the test sets, and one operator."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self.link, self.keys = link, keys
        self.readings: Readings = {"queue_waiting": {"echo": 0.0}}
        self.wire = Wire("ops")
        self.book = Book(link, keys)
        self.asked: list[str] = []

    def node(self, name: str, *wires: Wire, settle: float = 0.0) -> Evaluator:
        async def read(_now: float) -> Readings:
            self.asked.append(name)
            return self.readings

        channels = {wire.name: wire for wire in wires or (self.wire,)}
        notifier = Notifier(channels, clock=HandClock())
        rules = {one.name: one for one in (rule(), rule("AlertsNotDelivered", "delivery_failures > 0"))}
        timing = Timing(settle=settle)
        return Evaluator(Book(self.link, self.keys), notifier, rules, [read], name, interval=5.0, timing=timing)

    async def expire(self) -> None:
        """The node that evaluates dies, and its lease runs out."""
        await self.link.commands.delete(self.keys.alerts("lease"))


@pytest.fixture
def cluster(link: RedisLink, keys: Keys) -> Cluster:
    return Cluster(link, keys)


async def test_one_node_evaluates_and_tells(cluster: Cluster) -> None:
    one, two = cluster.node("n1:a"), cluster.node("n2:b")
    cluster.readings = {"queue_waiting": {"echo": 101.0}}
    assert [await one.once(), await two.once(), await one.once(), await two.once()] == [True, False, True, False]
    assert cluster.asked == ["n1:a", "n1:a"]
    await until(lambda: cluster.wire.got)
    assert cluster.wire.news() == [("firing", "QueueLong/echo")]


async def test_a_turn_is_renewed_by_who_has_it_and_by_nobody_else(cluster: Cluster) -> None:
    lease = cluster.keys.alerts("lease")
    began, _ = await cluster.link.commands.time()
    turn = await cluster.book.turn("n1:a", 15.0)
    ended, _ = await cluster.link.commands.time()
    assert turn is not None
    assert began <= turn.now < ended + 1
    await cluster.link.commands.pexpire(lease, 5_000)
    assert await cluster.book.turn("n1:b", 15.0) is await cluster.book.turn("n1:", 15.0) is None
    assert await cluster.link.commands.pttl(lease) <= 5_000
    again = await cluster.book.turn("n1:a", 15.0)
    assert again is not None
    assert again.holder == turn.holder
    assert await cluster.link.commands.pttl(lease) > 5_000


async def test_another_goes_on_where_the_first_one_died(cluster: Cluster) -> None:
    one, two = cluster.node("n1:a"), cluster.node("n2:b")
    cluster.readings = {"queue_waiting": {"echo": 101.0}}
    await one.once()
    await until(lambda: cluster.wire.got)
    await cluster.expire()

    assert await two.once()
    assert not await one.once()
    cluster.readings = {"queue_waiting": {"echo": 0.0}}
    await two.once()
    await until(lambda: len(cluster.wire.got) == 2)
    assert cluster.wire.news() == [("firing", "QueueLong/echo"), ("resolved", "QueueLong/echo")]
    assert [entry.what for _, entry in await cluster.book.history()] == ["resolved", "fired"]
    assert (await cluster.book.standing()).alerts == {}


async def test_what_the_dead_one_could_not_send_the_next_one_sends(cluster: Cluster) -> None:
    down = Wire("ops", refusals=float("inf"))
    one, two = cluster.node("n1:a", down), cluster.node("n2:b")
    cluster.readings = {"queue_waiting": {"echo": 101.0}}
    await one.once()
    await until(lambda: down.tries)
    await cluster.expire()
    await two.once()
    await until(lambda: cluster.wire.got)
    assert cluster.wire.news() == [("firing", "QueueLong/echo")]
    await one.once()  # it sees that it has the turn no more, and lets go

    async def nothing_left() -> bool:
        return not (await cluster.book.standing()).notices

    await until(nothing_left)


async def test_a_node_that_was_asleep_changes_nothing(cluster: Cluster) -> None:
    one = cluster.node("n1:a")
    turn = await cluster.book.turn("n1:a", 15.0)
    assert turn is not None
    before = await cluster.book.standing()
    await cluster.expire()
    assert await cluster.book.turn("n2:b", 15.0) is not None
    await cluster.expire()
    again = await cluster.book.turn("n1:a", 15.0)
    assert again is not None
    assert again.holder != turn.holder, "a turn that was lost is not the one that was won later"

    from app.control.alerts.round import evaluate

    cluster.readings = {"queue_waiting": {"echo": 101.0}}
    found = evaluate({"QueueLong": rule()}, cluster.readings, {}, (), turn.now, Timing())
    assert not await cluster.book.commit(turn, before, found, [])
    assert (await cluster.book.standing()).alerts == {}
    assert await one.once()


async def test_a_book_that_changed_meanwhile_is_read_anew(cluster: Cluster) -> None:
    turn = await cluster.book.turn("n1:a", 15.0)
    assert turn is not None
    before = await cluster.book.standing()
    told = Alert("QueueLong", "echo", "warning", "firing", 500.0, turn.now, turn.now, told=turn.now)
    await cluster.book.fold([told], [])

    from app.control.alerts.round import evaluate

    found = evaluate({"QueueLong": rule()}, {"queue_waiting": {"echo": 101.0}}, {}, (), turn.now, Timing())
    assert not await cluster.book.commit(turn, before, found, [])
    assert (await cluster.book.standing()).alerts == {told.key: told}


async def test_what_a_node_told_while_redis_was_away_is_not_told_again(cluster: Cluster) -> None:
    one = cluster.node("n1:a")
    pending = Alert("QueueLong", "echo", "warning", "pending", 101.0, 1.0)
    await cluster.book.fold([pending], [])
    told = replace(pending, state="firing", fired=2.0, told=4_000_000_000.0)
    await cluster.book.fold([told], [])
    cluster.readings = {"queue_waiting": {"echo": 101.0}}
    await one.once()
    cluster.readings = {"queue_waiting": {"echo": 0.0}}
    await one.once()
    await until(lambda: cluster.wire.got)
    assert cluster.wire.news() == [("resolved", "QueueLong/echo")]


async def test_a_silence_holds_for_whoever_evaluates(cluster: Cluster) -> None:
    await cluster.book.silence(Silence("QueueLong", "*", 4_000_000_000.0, by="test"))
    cluster.readings = {"queue_waiting": {"echo": 101.0}}
    await cluster.node("n1:a").once()
    standing = await cluster.book.standing()
    assert standing.alerts["QueueLong/echo"].told is None
    assert standing.notices == ()
    assert await cluster.book.lift("QueueLong", "*")
    assert not await cluster.book.lift("QueueLong", "*")
    await cluster.node("n1:a").once()
    await until(lambda: cluster.wire.got)


async def test_a_silence_that_ran_out_is_forgotten(cluster: Cluster) -> None:
    await cluster.book.silence(Silence("Old", "*", 1.0))
    await cluster.book.silence(Silence("New", "*", 4_000_000_000.0))
    assert [one.rule for one in (await cluster.book.standing()).silences] == ["New"]


async def test_a_source_that_fails_does_not_stop_the_others(cluster: Cluster) -> None:
    async def broken(_now: float) -> Readings:
        raise HubError("the registry of quotas does not answer")

    evaluator = cluster.node("n1:a")
    evaluator._sources = (broken, *evaluator._sources)
    cluster.readings = {"queue_waiting": {"echo": 101.0}}
    assert await evaluator.once()
    await until(lambda: cluster.wire.got)


async def test_a_channel_that_fails_is_an_alert_itself(cluster: Cluster) -> None:
    down, up = Wire("chat", refusals=3), Wire("mail")
    evaluator = cluster.node("n1:a", down, up)
    cluster.readings = {"queue_waiting": {"echo": 101.0}}
    await evaluator.once()
    await until(lambda: down.tries == 3)
    await until(lambda: not evaluator._notifier._flights)
    await evaluator.once()
    await until(lambda: len(up.got) == 2)
    assert up.news() == [("firing", "QueueLong/echo"), ("firing", "AlertsNotDelivered/chat")]
    deliveries = await cluster.book.deliveries()
    assert (deliveries["chat"].failures, deliveries["chat"].error) == (1, "chat is down")


async def test_a_storm_is_one_message(cluster: Cluster) -> None:
    cluster.readings = {"queue_waiting": {f"bot{n}": 101.0 for n in range(300)}}
    await cluster.node("n1:a").once()
    await until(lambda: cluster.wire.got)
    [notice] = cluster.wire.got
    assert len(notice.items) == 300
