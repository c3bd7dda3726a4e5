"""Whatever happens to a bot's events, in whatever order: none is lost, doubled or overtaken, and nothing is left."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.core.errors import Fenced
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.queue.dead_letters import DeadLetters
from app.queue.fetch import Fetch, Room
from app.queue.leases import Leases
from app.queue.log import EventLog, Read
from app.queue.mailbox import Mailbox
from app.queue.work import Receipt, Work
from tests.unit.queue.history import BOT, CONVERSATIONS, QUEUE_SIZE, Model, event

T = TypeVar("T")

OWNERS = ("n1:b:1", "n1:b:2", "n12:b:1")
NUMBERS = st.integers(0, 11)
PLACES = st.integers(0, 7)
LONG = 1e14  # ms; no lease ends by itself
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]
MOSTLY = st.sampled_from([True, True, True, False])


class History(RuleBasedStateMachine):
    """Steps of gateways, workers, sweeps, operators and the archiver, each on the engine and on the model."""

    def __init__(self, runner: asyncio.Runner, link: RedisLink) -> None:
        super().__init__()
        self.runner, self.link = runner, link
        self.keys = keys = Keys(f"t{uuid.uuid4().hex[:12]}:")
        self.mailbox = Mailbox(link, keys)
        self.fetch = Fetch(link, keys, self.mailbox)
        self.leases = Leases(link, keys)
        self.letters = DeadLetters(link, keys)
        self.log = EventLog(link, keys)
        self.model = Model()
        self.works: list[Work] = []
        """All that workers were ever given: some are asleep and wake up when it is another's."""
        self.read: list[Read] = []
        self.reads = 0
        self.run(self.leases.sweep([BOT]))  # the first of all gives every claim one more lease

    def run(self, step: Awaitable[T]) -> T:
        async def taken() -> T:
            return await step

        return self.runner.run(taken())

    @invariant()
    def everything_lies_where_it_has_to(self) -> None:
        self.run(self.model.holds_true(self.link, self.keys))

    # -- gateways --------------------------------------------------------------------------------------------

    @initialize(numbers=st.lists(NUMBERS, min_size=4, max_size=6, unique=True))
    def begin(self, numbers: list[int]) -> None:
        self.accept(numbers, renamed=False)

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=4), renamed=st.booleans())
    def accept(self, numbers: list[int], renamed: bool) -> None:
        """`renamed`: the same message under an event id of its own, as Feishu may send it."""
        receipts = self.run(self.mailbox.accept([event(number, renamed) for number in numbers]))
        for number, receipt in zip(numbers, receipts, strict=True):
            assert isinstance(receipt, Receipt)
            known = number in self.model.seen
            full = self.model.depth >= QUEUE_SIZE
            assert receipt.status == ("duplicate" if known else "full" if full else "accepted")
            if receipt.status == "accepted":
                self.model.seen.add(number)
                self.model.accept(receipt.log_id, number, CONVERSATIONS[number % 3])

    # -- workers ---------------------------------------------------------------------------------------------

    @rule(owner=st.sampled_from(OWNERS), ready=st.integers(0, 2), calls=st.integers(0, 1), waits=st.booleans())
    def take(self, owner: str, ready: int, calls: int, waits: bool) -> None:
        """By a token that `waits` for a worker, or with one that has waited for a slot."""
        if not waits or not self.run(self.link.commands.exists(self.keys.wake)):  # a read would wait in vain
            works = self.run(self.mailbox.take(BOT, owner, ready, calls=calls))
        else:
            works, tokens = self.run(self.fetch.next(owner, 0.001, Room(1, 1, {BOT: (ready, calls)})))
            assert tokens == ([] if ready + calls else [BOT])
            self.run(self.mailbox.give_back(*tokens))
        self.took(works, ready, calls)

    def took(self, works: Sequence[Work], ready: int, calls: int) -> None:
        first = min(calls, len(self.model.calls))
        self.model.take(self.model.calls, calls, list(works[:first]))
        self.model.take(self.model.ready, ready, list(works[first:]))
        self.works += works

    def one(self, place: int, mine: bool) -> Work | None:
        """A work as some worker has it, to be spoken of: one that is `mine` still, or any."""
        if mine and not any(map(self.model.handles, self.works)):
            self.took(self.run(self.mailbox.take(BOT, OWNERS[place % 3], 1, calls=1)), 1, 1)
        works = [work for work in self.works if self.model.handles(work)] if mine else self.works
        return works[place % len(works)] if works else None

    @rule(
        place=PLACES,
        mine=MOSTLY,
        how=st.sampled_from(["done", "dead", "later"]),
        go_on=MOSTLY,
        reply=st.sampled_from(["heard", "lost", "too late"]),
    )
    def finish(self, place: int, mine: bool, how: str, go_on: bool, reply: str) -> None:
        """Who lost the reply says it a second time; who has to leave before it comes hands the event back."""
        if (work := self.one(place, mine)) is None:
            return
        mailbox, model = self.mailbox, self.model
        if model.holds(work) and not model.handles(work):
            return  # no worker says anything of an event after it has heard that it was ended
        steps: dict[str, Callable[[], Awaitable[Work | None]]] = {
            "done": lambda: mailbox.finish(work, go_on=go_on, another=True),
            "dead": lambda: mailbox.bury(work, "no", go_on=go_on),
            "later": lambda: mailbox.later(work, 0.0, go_on=go_on),
        }
        if not model.handles(work):
            with pytest.raises(Fenced):
                self.run(steps[how]())
            return
        following = self.run(steps[how]())
        self.ended(work, how)
        model.follow(work, following, go_on, another=how == "done")
        if reply == "lost" and model.holds(work):
            assert self.run(steps[how]()) == following
        elif reply == "lost":
            with pytest.raises(Fenced):
                self.run(steps[how]())
        elif reply == "too late":
            self.let_go(work)
        if following is not None:
            self.works.append(following)

    def ended(self, work: Work, how: str) -> None:
        event = self.model.end(work, how)
        if how == "dead":
            [newest] = self.run(self.letters.list(BOT, limit=1))
            assert (newest.entry.event_id, newest.starts) == (f"e{event.number}", event.starts)
            self.model.letters[newest.id] = event

    @rule(place=PLACES, mine=MOSTLY, how=st.sampled_from(["retry", "wait", "release", "extend"]))
    def speak(self, place: int, mine: bool, how: str) -> None:
        if (work := self.one(place, mine)) is None:
            return
        if how == "extend":
            assert self.run(self.leases.extend([work])) == ([] if self.model.holds(work) else [work])
        elif how == "release":
            self.let_go(work)
        elif self.model.handles(work) or not self.model.holds(work):
            park = self.mailbox.retry if how == "retry" else self.mailbox.wait
            if self.model.holds(work):
                self.run(park(work, 0.0))
                self.model.park(work, counts=how == "retry")
            else:
                with pytest.raises(Fenced):
                    self.run(park(work, 0.0))

    def let_go(self, work: Work) -> None:
        if self.model.holds(work):
            self.run(self.mailbox.release(work))
            self.model.take_back(work.conversation)
            self.model.give_free(work.conversation)
        else:
            with pytest.raises(Fenced):
                self.run(self.mailbox.release(work))

    # -- whoever sees that it goes on ------------------------------------------------------------------------

    @rule(owner=st.sampled_from((*OWNERS, "n1:")), alive=st.booleans())
    def abandon(self, owner: str, alive: bool) -> None:
        whole = owner.endswith(":")
        alive = alive and not whole
        begin = owner if whole else f"{owner} "
        freed = [name for name in self.model.claimed() if self.model.stands[name].startswith(begin)]
        order: Any = self.run(self.link.commands.hkeys(self.keys.bot(BOT, "claim")))
        if whole:
            assert self.run(self.leases.abandon_node(owner[:-1], [BOT])) == len(freed)
        else:
            assert self.run(self.leases.abandon(owner, [BOT], alive=alive)) == len(freed)
        for name in sorted(freed, key=lambda one: order.index(one.encode())):
            if alive:
                self.model.take_back(name)
            self.model.give_free(name)

    @rule(expired=st.sets(st.sampled_from(CONVERSATIONS)))
    def sweep(self, expired: set[str]) -> None:
        """What is parked, or put off, is due at once; leases end where the history says."""
        model = self.model
        gone = {name: 1.0 + place for place, name in enumerate(sorted(expired & set(model.claimed())))}
        due: Any = self.run(self.link.commands.zrange(self.keys.bot(BOT, "delayed"), 0, -1))
        put_off: Any = self.run(self.link.commands.zrange(self.keys.bot(BOT, "later"), 0, -1))
        if leases := dict.fromkeys(model.claimed(), LONG) | gone:
            self.run(self.link.commands.zadd(self.keys.bot(BOT, "lease"), leases))
        swept = self.run(self.leases.sweep([BOT]))
        if swept.reprieved:  # this machine stood still: nothing was swept for seconds
            gone = {}
        assert (swept.expired, swept.retries, swept.later) == (len(gone), len(due), len(put_off))
        for name in (*gone, *(one.decode() for one in due)):
            model.give_free(name)
        for member in put_off:
            log_id = member.decode().partition(" ")[0]
            model.later.remove(log_id)
            model.arrive(log_id)

    # -- operators and the archiver --------------------------------------------------------------------------

    @precondition(lambda self: self.model.letters)
    @rule(place=PLACES, how=st.sampled_from(["replay", "replay", "drop", "withdraw", "age"]))
    def look_after_letters(self, place: int, how: str) -> None:
        """By hand; when a message is recalled; when they have been kept for long enough."""
        letters = self.model.letters
        letter = sorted(letters)[place % len(letters)]
        number = letters[letter].number
        if how in ("withdraw", "age"):
            gone = {one for one, event in letters.items() if how == "age" or event.number == number}
            aged, withdraw = how == "age", self.letters.withdraw
            assert self.run(self.letters.expire(BOT, 1.8e9) if aged else withdraw(BOT, [f"om_{number}"])) == len(gone)
            self.model.ended += [letters.pop(one).number for one in gone]
            return
        step = self.letters.replay if how == "replay" else self.letters.drop
        assert self.run(step(BOT, letter))
        old = letters.pop(letter)
        if how == "replay":
            mail = self.keys.mail(BOT, old.conversation)
            [newest] = cast(list[bytes], self.run(self.link.commands.lrange(mail, -1, -1)))
            self.model.accept(newest.decode(), old.number, old.conversation, replayed=True)
        else:
            self.model.ended.append(old.number)
        assert not self.run(step(BOT, letter)), "a letter goes once"

    @rule(count=st.integers(0, 3))
    def archive(self, count: int) -> None:
        """Read what is new, and have some of what was read in the store; said twice, since a reply may be lost."""
        if len(self.model.events) > self.reads:
            self.read += self.run(self.log.read([BOT], "a1", 100, 1))
            self.reads = len(self.model.events)
        done, self.read = self.read[:count], self.read[count:]
        for _ in range(2):
            self.run(self.log.done(done))
        for _, log_id, _ in done:
            self.model.events[log_id].archived = True

    # -- the end ---------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everything goes on to its end, and leaves nothing behind."""
        model = self.model
        while model.depth:
            self.sweep(set(CONVERSATIONS))
            works = self.run(self.mailbox.take(BOT, "n9:b:1", 9, calls=9))
            self.took(works, 9, 9)
            for work in works:
                assert self.run(self.mailbox.finish(work, go_on=False)) is None
                self.ended(work, "done")
                model.give_free(work.conversation, last=True)
        self.archive(1000)
        self.everything_lies_where_it_has_to()
        assert not any(event.handled != event.archived for event in model.events.values())
        assert sorted(model.ended + [one.number for one in model.letters.values()]) == sorted(model.seen)
        self.run(self.clear())

    async def clear(self) -> None:
        names = [name async for name in self.link.commands.scan_iter(match=f"{self.keys.prefix}*", count=1000)]
        await self.link.commands.delete(*names)


def test_any_history(engine_url: str) -> None:
    with asyncio.Runner() as runner:
        link = runner.run(connect(engine_url))
        try:
            histories: Any = lambda: History(runner, link)  # noqa: E731 - typed as a class, which has no arguments
            bounds = settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=SLOW)
            run_state_machine_as_test(histories, settings=bounds)
        finally:
            runner.run(link.close())
