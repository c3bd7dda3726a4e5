"""What has to go alike on every arrangement of Redis, beside the scripts of the queue."""

from __future__ import annotations

from app.control.alerts.book import Book
from app.control.alerts.notice import Item, Notice
from app.control.alerts.past import Past
from app.control.alerts.round import Round
from app.control.alerts.silences import Silence
from app.control.alerts.states import Alert
from app.core.keys import Keys
from app.core.outage import guard
from app.core.redis import RedisLink
from app.queue.depths import Depth, Depths
from app.queue.log import EventLog
from app.queue.mailbox import Mailbox
from app.queue.work import Receipt
from tests.unit.queue.incoming import incoming


async def events_of_bots(link: RedisLink) -> None:
    """Events of several bots, from accepted to handled and archived, with nothing left of them."""
    mailbox, log, depths = Mailbox(link, Keys()), EventLog(link, Keys()), Depths(link, Keys())
    bots = [f"way{n}" for n in range(5)]
    assert all(isinstance(one, Receipt) for one in await mailbox.accept([incoming("e1", bot=bot) for bot in bots]))
    assert {depth.waiting for depth in (await depths.read(bots)).values()} == {1}
    assert {bot for bot, _, _ in await log.read(bots, "a1", 10, 10)} == set(bots)
    left = await log.left_behind(bots, "a1", 10)
    assert sorted(bot for bot, _, _ in left) == bots
    woken = [await mailbox.next_bot(1.0) for _ in bots]
    assert sorted(map(str, woken)) == bots
    for bot in bots:
        [work] = await mailbox.take(bot, "n1", 1)
        assert await mailbox.finish(work) is None
    await log.done(left)
    assert not await log.left_behind(bots, "a1", 10)
    for bot in bots:
        with guard():
            assert await link.commands.xlen(Keys().bot(bot, "log")) == 0


async def depths_and_alerts(link: RedisLink) -> None:
    """Many bots' depths in one round trip, and the book of alerts kept whole."""
    assert await Depths(link, Keys()).read(f"bot{n}" for n in range(20)) == {f"bot{n}": Depth(0, 0) for n in range(20)}
    book = Book(link, Keys())
    turn, before = await book.turn("n1:a", 15.0), await book.standing()
    assert turn is not None
    alert = Alert("HighCPU", "n1", "warning", "firing", 0.9, turn.now, turn.now, told=turn.now)
    notice = Notice.of(turn.now, [Item("firing", alert)], ["ops"])
    assert await book.commit(turn, before, Round({alert.key: alert}, past=[Past("fired", turn.now, alert)]), [notice])
    await book.silence(Silence("HighCPU", "*", turn.now + 60))
    standing = await book.standing()
    assert (dict(standing.alerts), standing.notices) == ({alert.key: alert}, (notice,))
