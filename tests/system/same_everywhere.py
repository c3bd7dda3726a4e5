"""What has to go alike on every arrangement of Redis, beside the scripts of the queue."""

from __future__ import annotations

from app.control.alerts.book import Book
from app.control.alerts.notice import Item, Notice
from app.control.alerts.past import Past
from app.control.alerts.round import Round
from app.control.alerts.silences import Silence
from app.control.alerts.states import Alert
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.depths import Depth, Depths


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
