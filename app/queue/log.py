"""The log as the archiver reads it: a consumer group over all bots' streams, and sent messages added to it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Pipeliner, Script
from app.core.redis import COMMAND_TIMEOUT, RedisLink, guard
from app.core.wire import Arg, exchange
from app.queue.envelope import Entry

_ARCHIVED = Script(Path(__file__).parent / "archived.lua")
_APPEND = Script(Path(__file__).parent / "append.lua")
_PENDING = Script(Path(__file__).parent / "pending.lua")

GROUP: Final = "archive"
# Another archiver's entries are taken over when it has said nothing for this long.
_ABANDONED_MS: Final = 60_000
# A script holds up everything else in Redis: of so many entries for about a millisecond.
_DONE_AT_ONCE: Final = 250
# Bots whose pending entries are asked for in one step.
_BOTS_AT_ONCE: Final = 250
# On Cluster every bot has a slot of its own and a blocking read one connection: one pass a second instead.
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
        entries: list[Read] = []
        for bot in bots:
            with guard():
                stream: Any = {self._keys.bot(bot, "log"): ">"}
                entries += self._parsed(await self._link.commands.xreadgroup(GROUP, consumer, stream, count=count))
        if not entries:
            await self._clock.sleep(_CLUSTER_PAUSE)
        return entries

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
        """Those bots of which an archiver has read something and not finished it."""
        size = 1 if self._link.cluster else _BOTS_AT_ONCE
        chunks = [bots[start : start + size] for start in range(0, len(bots), size)]

        def ask(chunk: Sequence[str]) -> asyncio.Future[Any]:
            roots = [self._keys.root(bot) for bot in chunk]
            return self._pipe.submit(_PENDING, roots[:1], [GROUP, *roots])

        replies = await asyncio.gather(*map(ask, chunks))
        return [chunk[number - 1] for chunk, reply in zip(chunks, replies, strict=True) for number in reply]

    async def done(self, entries: Sequence[Read]) -> None:
        """These entries are in the store; the log forgets those that were handled too."""
        await asyncio.gather(*(self._done(some) for some in self._steps(entries)))

    def _done(self, entries: Sequence[Read]) -> asyncio.Future[Any]:
        args: list[str] = [GROUP]
        for bot, log_id, entry in entries:
            args += (self._keys.root(bot), log_id, "1" if entry.kind == "sent" else "0")
        return self._pipe.submit(_ARCHIVED, args[1:2], args)

    def _steps(self, entries: Sequence[Read]) -> Iterator[Sequence[Read]]:
        """What is ticked off in one step each; on Cluster a bot's own."""
        groups: Iterable[Sequence[Read]] = [entries]
        if self._link.cluster:
            by_bot: defaultdict[str, list[Read]] = defaultdict(list)
            for read in entries:
                by_bot[read[0]].append(read)
            groups = by_bot.values()
        for group in groups:
            for start in range(0, len(group), _DONE_AT_ONCE):
                yield group[start : start + _DONE_AT_ONCE]

    async def lag(self, bots: Sequence[str]) -> int:
        """How many entries wait to be archived, over all bots."""
        waiting = 0
        for bot in bots:
            with guard():
                try:
                    groups = await self._link.commands.xinfo_groups(self._keys.bot(bot, "log"))
                except ResponseError:  # no stream yet
                    continue
                known = next((_of(group, "lag") for group in groups), None)
                if known is None:  # no group yet, or Redis lost count after deletions: at most so many
                    waiting += int(await self._link.commands.xlen(self._keys.bot(bot, "log")))
                    continue
            waiting += int(known) + sum(int(_of(group, "pending") or 0) for group in groups)
        return waiting

    async def _ensure_groups(self, bots: Sequence[str]) -> None:
        for bot in bots:
            if bot in self._grouped:
                continue
            try:
                with guard():
                    await self._link.commands.xgroup_create(self._keys.bot(bot, "log"), GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
            self._grouped.add(bot)

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


def _of(group: Any, name: str) -> Any:
    return group.get(name, group.get(name.encode()))
