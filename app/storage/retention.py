"""Deletes messages when their bot's `retain` is over, so that nothing of what was said stays in any file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy import delete, or_, select, text, update

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.failpoint import failpoint
from app.core.logs import get_logger
from app.storage.database import Database
from app.storage.days import contents_of, days_kept, drop, rewrite, shut
from app.storage.messages import delete_contents, insert_new
from app.storage.tables import data_keys, messages, turns, worn_days

# Rows of one transaction: SQLite has one writer, and the archiver is waiting.
_AT_ONCE: Final = 1000
_HALF_A_DAY: Final = 43_200.0
# With the two below a message is gone at most 18 hours after it was due.
_PERIOD: Final = 6 * 3600.0
_LOOK: Final = 60.0
# A configuration that was not mounted for a while is no reason to delete anything.
_MISSED_FOR: Final = 86_400.0
_MISSED: Final = "missed:"

Expire = Callable[[str, float], Awaitable[int]]
"""Deletes what else is kept of a bot from before a time (seconds since the epoch); how many."""

Retains = Callable[[], Mapping[str, float]]
"""How long each bot's messages are kept, in seconds; infinity is for ever."""
Otherwise = Callable[[], float | None]
"""The same for all other bots, once they have been missing for a day; None keeps their messages."""

log = get_logger(__name__)


class Retention:
    """One node at a time does it, whichever comes first when it is due.

    A day's table from which something was deleted is rewritten, and dropped when it is empty: what a database deletes
    from a page may stay in it.
    """

    def __init__(
        self,
        database: Database,
        retains: Retains,
        *,
        otherwise: Otherwise = lambda: None,
        expire: Expire | None = None,
        rewrite_log: Callable[[], Awaitable[None]] | None = None,
        group: str = "",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`expire` deletes copies that lie elsewhere; `rewrite_log` has the engine rewrite its own file.

        In that file, what was archived and deleted would otherwise stay. Nodes that delete for the same bots share a
        `group`.
        """
        self._database = database
        self._retains = retains
        self._otherwise = otherwise
        self._expire = expire
        self._rewrite_log = rewrite_log
        self._clock = clock
        self._turn = f"retention:{group}" if group else "retention"
        # Nothing else would say that files still hold what was in rewritten days and deleted letters.
        self._under_way = f"purge:{group}" if group else "purge"

    async def run(self) -> None:
        """Run for ever; whatever goes wrong is logged and tried again."""
        owed = False
        while True:
            try:
                if owed or await self._my_turn():
                    owed = True
                    await self.purge()
                    owed = False
            except HubError as error:
                log.warning("retention waits", error=str(error))
            except Exception as error:
                log.error("retention failed, trying again", error=type(error).__name__, exc_info=True)
            await self._clock.sleep(min(_LOOK, self._period() / 2))

    async def purge(self) -> int:
        """Delete what is due, and every trace of what was deleted before; how many messages."""
        owed = await self._begin()
        gone, copies = 0, 0
        due: dict[str, float] = {}
        for bot, retain in (await self._all()).items():
            if retain == float("inf"):
                continue
            # In steps, so that a day's table is rewritten at most twice before it is dropped.
            step = min(_HALF_A_DAY, retain / 10)
            due[bot] = (self._clock.now() - retain) // step * step
            gone += await self._delete(bot, int(due[bot] * 1000))
        if gone:
            failpoint("in_retention")
        days = await self._worn()
        for day in days:
            await self._renew(day)
        if days or owed:
            await self._database.scrub()
        if self._expire is not None:
            for bot, before in due.items():
                copies += await self._expire(bot, before)
        if self._rewrite_log is not None and (days or copies or owed):
            await self._rewrite_log()
        await self._end()
        if days or copies:
            log.info("messages deleted", messages=gone, days=len(days), dead_letters=copies)
        return gone

    async def _begin(self) -> bool:
        """Note that a purge is under way; returns whether an earlier one did not come to its end."""
        async with self._database.writing() as connection:
            owed = await connection.scalar(select(turns.c.name).where(turns.c.name == self._under_way))
            await insert_new(connection, turns, [{"name": self._under_way, "next": 0}])
        return owed is not None

    async def _end(self) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(turns).where(turns.c.name == self._under_way))

    async def _all(self) -> Mapping[str, float]:
        """How long each bot's messages are kept, including bots that nobody configures any more."""
        named, rest = self._retains(), self._otherwise()
        if rest is None:
            return named
        now, grace = int(self._clock.now() * 1000), int(_MISSED_FOR * 1000)
        async with self._database.writing() as connection:
            # Whoever has messages has a data key, in a far smaller table.
            missed = set(await connection.scalars(select(data_keys.c.bot).distinct())) - named.keys()
            rows = await connection.execute(select(turns).where(turns.c.name.startswith(_MISSED)))
            noted = {row.name.removeprefix(_MISSED): row.next for row in rows}
            # Anything later than a day from now was left by a clock that was ahead.
            stands = {bot for bot in missed & noted.keys() if noted[bot] <= now + grace}
            await connection.execute(
                delete(turns).where(turns.c.name.in_([_MISSED + bot for bot in noted if bot not in stands]))
            )
            new = [{"name": _MISSED + bot, "next": now + grace} for bot in sorted(missed - stands)]
            await insert_new(connection, turns, new)
        return {**{bot: rest for bot in stands if noted[bot] <= now}, **named}

    async def _delete(self, bot: str, before: int) -> int:
        due = select(messages.c.id).where(messages.c.bot == bot, messages.c.created < before)
        due = due.order_by(messages.c.created).limit(_AT_ONCE)
        gone = 0
        while True:
            async with self._database.writing() as connection:
                statement = delete(messages).where(messages.c.id.in_(due))
                rows = (await connection.execute(statement.returning(messages.c.id, messages.c.created))).all()
                await delete_contents(connection, [(row.id, row.created) for row in rows])
            gone += len(rows)
            if len(rows) < _AT_ONCE:
                return gone
            await asyncio.sleep(0)

    async def _worn(self) -> list[int]:
        async with self._database.reading() as connection:
            return list(await connection.scalars(select(worn_days.c.day).order_by(worn_days.c.day)))

    async def _renew(self, day: int) -> None:
        async with self._database.rewriting() as connection:
            if day in await days_kept(connection):
                await shut(connection, day)
                if await connection.scalar(text(f"SELECT 1 FROM {contents_of(day)} LIMIT 1")):
                    await rewrite(connection, day)
                else:
                    await drop(connection, day)
            await connection.execute(delete(worn_days).where(worn_days.c.day == day))

    async def _my_turn(self) -> bool:
        """Take the turn if it is due: of nodes that ask at once one gets it."""
        now = int(self._clock.now() * 1000)
        then = now + int(self._period() * 1000)
        async with self._database.writing() as connection:
            await insert_new(connection, turns, [{"name": self._turn, "next": 0}])
            # Anything later than a turn from now was left by a clock that was ahead.
            due = or_(turns.c.next <= now, turns.c.next > then)
            taken = await connection.execute(update(turns).where(turns.c.name == self._turn, due).values(next=then))
        return taken.rowcount == 1

    def _period(self) -> float:
        return min([_PERIOD, *(retain / 10 for retain in self._retains().values())])
