"""Notices reach their channels, or the others, and are kept until they have."""

from __future__ import annotations

import asyncio

from app.control.alerts.notice import Item, Notice
from app.control.alerts.notify import Notifier
from app.control.alerts.states import Alert
from app.core.errors import StoreUnavailable
from tests.unit.control.alerts.parts import START, HandClock, Wire
from tests.waiting import until


def notice(*channels: str) -> Notice:
    alert = Alert("QueueLong", "echo", "warning", "firing", 101.0, START, START, told=START)
    return Notice.of(START, [Item("firing", alert)], channels)


class Kept:
    """Where notices are kept while they are on their way."""

    def __init__(self) -> None:
        self.saved: list[Notice] = []

    async def save(self, notice: Notice) -> None:
        self.saved.append(notice)

    @property
    def done(self) -> bool:
        return bool(self.saved) and not self.saved[-1].left


async def sent(notice: Notice, *wires: Wire) -> tuple[Notifier, Kept, HandClock]:
    clock, kept = HandClock(), Kept()
    notifier = Notifier({wire.name: wire for wire in wires}, clock=clock)
    notifier.send(notice, kept.save)
    await until(lambda: kept.done)
    return notifier, kept, clock


async def test_each_channel_gets_it_once() -> None:
    chat, mail, other = Wire("chat"), Wire("mail"), Wire("other")
    await sent(notice("chat", "mail"), chat, mail, other)
    assert [len(wire.got) for wire in (chat, mail, other)] == [1, 1, 0]


async def test_a_failure_is_tried_again() -> None:
    chat = Wire("chat", refusals=2)
    notifier, _, clock = await sent(notice("chat"), chat)
    assert (chat.tries, len(chat.got), clock.passed) == (3, 1, 4.0)
    assert notifier.deliveries["chat"].failures == 0


async def test_where_one_channel_fails_those_left_out_get_it() -> None:
    chat, mail, pager = Wire("chat", refusals=9), Wire("mail"), Wire("pager", standby=True)
    notifier, _, _ = await sent(notice("chat", "mail"), chat, mail, pager)
    assert [len(wire.got) for wire in (chat, mail, pager)] == [0, 1, 1]
    delivery = notifier.deliveries["chat"]
    assert (delivery.failures, delivery.error) == (1, "chat is down")


async def test_what_cannot_succeed_is_not_tried_again() -> None:
    chat, mail = Wire("chat", refusals=9, retryable=False), Wire("mail")
    await sent(notice("chat"), chat, mail)
    assert (chat.tries, len(mail.got)) == (1, 1)


async def test_a_notice_that_reached_nobody_is_tried_for_a_long_time() -> None:
    chat = Wire("chat", refusals=30)
    _, kept, clock = await sent(notice("chat"), chat)
    assert len(chat.got) == 1
    assert clock.passed >= 600
    assert len(kept.saved) == 2, "one as it arrived, one as it was done with"


async def test_how_far_it_has_come_is_kept() -> None:
    chat, mail = Wire("chat"), Wire("mail", refusals=float("inf"))
    kept = Kept()
    notifier = Notifier({"chat": chat, "mail": mail}, clock=HandClock())
    notifier.send(notice("chat", "mail"), kept.save)
    await until(lambda: kept.saved)
    assert (kept.saved[0].left, kept.saved[0].reached) == (("mail",), 1)
    assert Notice.unpacked(kept.saved[0].packed()) == kept.saved[0]


async def test_a_notice_on_its_way_is_not_begun_again() -> None:
    chat, kept = Wire("chat"), Kept()
    notifier = Notifier({"chat": chat}, clock=HandClock())
    one = notice("chat")
    notifier.send(one, kept.save)
    notifier.send(one, kept.save)
    await until(lambda: kept.done)
    assert chat.tries == 1


async def test_what_has_arrived_while_redis_hung_is_not_sent_again() -> None:
    class Hanging(Kept):
        times = 3

        async def save(self, notice: Notice) -> None:
            if self.times:
                self.times -= 1
                raise StoreUnavailable("it hangs")
            await super().save(notice)

    class Waiting(HandClock):
        def __init__(self) -> None:
            super().__init__()
            self.goes_on = asyncio.Event()

        async def sleep(self, seconds: float) -> None:
            await self.goes_on.wait()

    chat, kept, clock = Wire("chat"), Hanging(), Waiting()
    notifier = Notifier({"chat": chat}, clock=clock)
    one = notice("chat")
    notifier.send(one, kept.save)
    await until(lambda: kept.times == 1)
    notifier.send(one, kept.save)  # who evaluates finds it in the book
    clock.goes_on.set()
    await until(lambda: kept.done)
    assert chat.tries == 1


async def test_a_channel_that_is_configured_no_more_is_passed_over() -> None:
    chat = Wire("chat")
    await sent(notice("gone"), chat)
    assert len(chat.got) == 1, "the others get it"


async def test_the_usual_channels_are_all_that_do_not_stand_by() -> None:
    notifier = Notifier({"chat": Wire("chat"), "pager": Wire("pager", standby=True)})
    assert notifier.usual() == ("chat",)
    assert notifier.usual(("pager",)) == ("pager",)


async def test_stopping_leaves_nothing_behind() -> None:
    class Slow(Wire):
        async def send(self, notice: Notice) -> None:
            self.tries += 1
            await asyncio.Event().wait()

    slow = Slow("slow")
    notifier = Notifier({"slow": slow})
    notifier.send(notice("slow"), Kept().save)
    await until(lambda: slow.tries)
    await notifier.stop()
    assert len(asyncio.all_tasks()) == 1
