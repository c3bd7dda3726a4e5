"""A search by words takes its time, and no more; what it did not look at is found by the next."""

from __future__ import annotations

from app.storage.audit import Audit
from app.storage.database import Database
from app.storage.keeping import Keeping
from app.storage.messages import Messages
from app.storage.query import Query
from app.storage.reveal import Reveals
from tests.unit.storage.catalog import CatalogOf
from tests.unit.storage.test_words import CIPHER, Still, _Keys, said


class _Slow(Still):
    """A clock by which each look takes a quarter of a second."""

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        self.time += 0.25
        return self.time


async def test_a_search_that_takes_long_ends_and_goes_on_where_it_ended(messages: Messages, database: Database) -> None:
    """Pages of one day, days of which nothing is wanted, and days with nothing at all."""
    day = 86_400_000
    keeping = Keeping(messages, _Keys(echo=CIPHER), CatalogOf(echo={"word_index": True}))
    rows = [said(number, "wanted thing") for number in range(450)]
    rows += [said(1000 + number, "thing of other days", created=number * day, chat_id="oc_2") for number in range(4)]
    await keeping.insert([*rows, said(2000, "wanted thing, once", created=0), said(3000, "nothing", created=9 * day)])
    slow = Reveals(messages, _Keys(echo=CIPHER), Audit(database), clock=_Slow())
    seen: list[str] = []
    before, searches = None, 0
    while True:
        searches += 1
        found = await slow.with_words("wanted", Query("echo", chat="oc_1"), who="me", why="x", limit=500, before=before)
        seen += [one.info.key for one in found.messages]
        if found.whole:
            break
        assert found.before not in (None, before)
        before = found.before
    assert seen == [f"evt_{number}" for number in reversed(range(450))] + ["evt_2000"]
    assert searches > 5
    assert found.before is None
