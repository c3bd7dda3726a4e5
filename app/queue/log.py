"""The log as the archiver reads it: a consumer group over all bots' streams, and sent messages added to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Pipeliner, Script
from app.core.outage import guard
from app.core.redis import COMMAND_TIMEOUT, RedisLink
from app.core.wire import Arg, exchange
from app.queue.envelope import Entry
from app.queue.slots import together

_ARCHIVED = Script(Path(__file__).parent / "archived.lua")
_APPEND = Script(Path(__file__).parent / "append.lua")
_PENDING = Script(Path(__file__).parent / "pending.lua")
_GROUP = Script(Path(__file__).parent / "group.lua")
_READ = Script(Path(__file__).parent / "read.lua")
_LAG = Script(Path(__file__).parent / "lag.lua")

GROUP: Final = "archive"
# Another archiver's entries are taken over when it has said nothing for this long.
_ABANDONED_MS: Final = 60_000
# A script holds up everything else in Redis: of so many entries for about a millisecond.
_DONE_AT_ONCE: Final = 250
# Bots whose logs are looked at in one step.
_BOTS_AT_ONCE: Final = 250
# On Cluster each bot has its own slot, and each blocking read would take a connection: one pass a second instead.
_CLUSTER_PAUSE: Final = 1.0

Read = tuple[str, str, Entry]

log = get_logger(__name__)


class EventLog:
    """Reads what is to be archived; every call raises StoreUnavailable without Redis."""

    def __init__(self, link: RedisLink, keys: Keys, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = link
        self._keys = keys
        self._clock = clock
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)
        self._grouped: set[str] = set()

    async def append_sent(self, bot: str, entry: Entry) -> None:
        """Add a sent message, so that it is archived."""
        await self._pipe.run(_APPEND, [self._keys.root(bot)], [entry.packed(), entry.sealed])

    async def read(self, bots: Sequence[str], consumer: str, count: int, block_ms: int) -> list[Read]:
        """Up to `count` new entries of each bot; waits up to `block_ms` for the first."""
        await self._ensure_groups(bots)
        if not bots:
            await self._clock.sleep(block_ms / 1000)
            return []
        try:
            if self._link.cluster:
                return await self._read_each(bots, consumer, count)
            assert isinstance(self._link.blocking, Redis)
            streams = [self._keys.bot(bot, "log") for bot in bots]
            options: tuple[Arg, ...] = ("GROUP", GROUP, consumer, "COUNT", count, "BLOCK", block_ms)
            # Its client has no time-out; a primary that hangs while a failover goes on says nothing for ever.
            with guard():
                async with asyncio.timeout(block_ms / 1000 + COMMAND_TIMEOUT):
                    command = ("XREADGROUP", *options, "STREAMS", *streams, *(">" for _ in streams))
                    [found] = await exchange(self._link.blocking, command)
            if isinstance(found, Exception):
                raise found
            return [read for name, page in (found or {}).items() for read in self._reads(name, map(_with_fields, page))]
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._grouped.clear()  # Redis forgot: made again, from the beginning, at the next read
            return []

    async def _read_each(self, bots: Sequence[str], consumer: str, count: int) -> list[Read]:
        pages = await asyncio.gather(
            *(self._pipe.submit(_READ, [self._keys.root(bot)], [GROUP, consumer, count]) for bot in bots)
        )
        found = [stream for page in pages for stream in page or ()]
        if not found:
            await self._clock.sleep(_CLUSTER_PAUSE)
        return [read for name, page in found for read in self._reads(name, map(_with_fields, page))]

    async def left_behind(self, bots: Sequence[str], consumer: str, count: int) -> list[Read]:
        """Entries that an archiver read and never finished: this one's from before a restart, and dead ones'."""
        await self._ensure_groups(bots)
        entries: list[Read] = []
        for bot in await self._with_pending(bots):
            name = self._keys.bot(bot, "log")
            try:
                with guard():
                    own = await self._link.commands.xreadgroup(GROUP, consumer, {name: "0"}, count=count)
                    entries += self._parsed(own)
                    claimed = await self._link.commands.xautoclaim(name, GROUP, consumer, _ABANDONED_MS, count=count)
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    raise
                self._grouped.discard(bot)  # Redis forgot, or the bot was shredded
                continue
            own_ids = {log_id for _, log_id, _ in entries}
            entries += [read for read in self._reads(name.encode(), claimed[1]) if read[1] not in own_ids]
        return entries

    async def _with_pending(self, bots: Sequence[str]) -> list[str]:
        """The bots with entries that an archiver has read and not finished."""
        asked = await self._ask(_PENDING, bots)
        return [chunk[number - 1] for chunk, reply in asked for number in reply]

    async def _ask(self, script: Script, bots: Sequence[str]) -> list[tuple[Sequence[str], Any]]:
        """What a script says of the logs of some bots at a time."""
        chunks = list(together(bots, str, _BOTS_AT_ONCE, cluster=self._link.cluster))

        def ask(chunk: Sequence[str]) -> asyncio.Future[Any]:
            roots = [self._keys.root(bot) for bot in chunk]
            return self._pipe.submit(script, roots[:1], [GROUP, *roots])

        return list(zip(chunks, await asyncio.gather(*map(ask, chunks)), strict=True))

    async def done(self, entries: Sequence[Read]) -> None:
        """These entries are in the store; the log forgets those that were handled too."""
        steps = together(entries, _bot_of, _DONE_AT_ONCE, cluster=self._link.cluster)
        await asyncio.gather(*map(self._done, steps))

    def _done(self, entries: Sequence[Read]) -> asyncio.Future[Any]:
        args: list[str] = [GROUP]
        for bot, log_id, entry in entries:
            args += (self._keys.root(bot), log_id, "1" if entry.kind == "sent" else "0")
        return self._pipe.submit(_ARCHIVED, args[1:2], args)

    async def lag(self, bots: Sequence[str]) -> int:
        """How many entries wait to be archived, over all bots."""
        return sum(int(waiting) for _, waiting in await self._ask(_LAG, bots))

    async def _ensure_groups(self, bots: Sequence[str]) -> None:
        if missing := [bot for bot in bots if bot not in self._grouped]:
            await self._ask(_GROUP, missing)
            self._grouped.update(missing)

    def _parsed(self, found: Any) -> list[Read]:
        return [read for name, pages in found.items() for page in pages for read in self._reads(name, page)]

    def _reads(self, name: bytes, page: Iterable[tuple[bytes, Any]]) -> list[Read]:
        """The entries of one stream, which can be read."""
        bot = name.decode()[len(self._keys.prefix) + 1 : -len("}:log")]
        entries: list[Read] = []
        for log_id, fields in page:
            if not fields:  # an entry deleted since has none
                continue
            try:
                entries.append((bot, log_id.decode(), Entry.unpacked(fields[b"e"], fields[b"s"])))
            except (HubError, KeyError, ValueError) as error:
                # It stays pending: a newer hub may read it, and the others must not wait for that.
                log.error("log entry cannot be read", bot=bot, entry=log_id.decode(), reason=str(error))
        return entries


def _with_fields(entry: Any) -> tuple[bytes, Any]:
    log_id, fields = entry
    return log_id, dict(zip(fields[::2], fields[1::2], strict=True)) if fields else None


def _bot_of(read: Read) -> str:
    return read[0]
