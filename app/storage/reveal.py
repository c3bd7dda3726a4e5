"""Opens messages for people: one, a page, or those with certain words; each time is recorded first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import select

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import SealBroken
from app.feishu.parse import without_token
from app.feishu.plain_text import parsed, searchable_text
from app.storage.audit import Action, Audit, runs
from app.storage.cipher import Cipher, record_identity
from app.storage.message import MessageInfo, StoredMessage
from app.storage.messages import INFO_COLUMNS, LONGEST_PAGE, Messages
from app.storage.query import Query, fits
from app.storage.tables import messages
from app.storage.word_search import ids_with, oldest_of
from app.storage.words import hashes_by_key, says, sought

# A search by words opens this many candidates at once, and keeps looking for this many seconds.
_PAGE: Final = 200
_WORK: Final = 0.2


class Ciphers(Protocol):
    """Every bot's cipher, with the keys of before too."""

    async def refresh(self, bot: str) -> Cipher: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A message and what was in it, or why that cannot be shown."""

    info: MessageInfo
    content: Any = field(default=None, repr=False)
    """The JSON document as it was received or sent; verification tokens are masked."""
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search by words found."""

    messages: list[Opened]
    whole: bool
    """False where it took so long that older ones were not looked at."""
    before: int | None = None
    """Where the next search goes on; None where all were looked at."""


class Reveals:
    """Whatever needs a key to read the store; raises StoreUnavailable, and ValueError for a wrong request."""

    def __init__(self, store: Messages, ciphers: Ciphers, audit: Audit, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store
        self._ciphers = ciphers
        self._audit = audit
        self._clock = clock

    async def show(self, message: int, *, who: str, why: str) -> tuple[Opened, list[MessageInfo]] | None:
        """One message, opened, and what else is kept of it; None where there is none of that id."""
        found = await self._store.show(message)
        if found is None:
            return None
        (opened,) = await self._opened([found], "show", who, why)
        return opened, await self._store.about(found.info)

    async def letter(self, bot: str, letter: str, event_id: str, sealed: bytes, *, who: str, why: str) -> Any:
        """The event of a dead letter, opened; SealBroken where it does not open."""
        await self._audit.record(who, "dead", bot, letter, why)
        cipher = await self._ciphers.refresh(bot)
        return without_token(parsed(cipher.open(sealed, record_identity(event_id))))

    async def export(self, query: Query, *, who: str, why: str) -> AsyncIterator[Opened]:
        """All that a query asks for, newest first, opened page by page; one that does not open says so, and no more."""
        before: int | None = None
        while page := await self._store.search(query, before=before, limit=LONGEST_PAGE):
            before = page[-1].id
            for opened in await self._opened(await self._store.contents(page), "export", who, why):
                yield opened

    async def with_words(
        self, words: str, query: Query, *, who: str, why: str, limit: int = 50, before: int | None = None
    ) -> Found:
        """Messages that hold all the words, the last stored first, as far as found in time; ValueError without a bot.

        `before` continues an earlier search.
        """
        if query.bot is None:
            raise ValueError("words are looked up within a bot")
        hashed = hashes_by_key(await self._ciphers.refresh(query.bot), sought(words))
        ends = self._clock.monotonic() + _WORK
        found: list[Opened] = []

        async def look(candidates: Sequence[int]) -> Found | None:
            """Open them; what was found where that is enough, or took too long."""
            asked = await self._asked(candidates, query)
            for start in range(0, len(asked), _PAGE):
                page = asked[start : start + _PAGE]
                for one in await self._opened(await self._store.contents(page), "words", who, why):
                    if one.fault is not None or says(searchable_text(one.content), words):
                        found.append(one)
                if len(found) >= limit:
                    return Found(found[:limit], whole=True, before=found[limit - 1].info.id)
                if self._clock.monotonic() >= ends and page[-1] != asked[-1]:
                    return Found(found, whole=False, before=page[-1].id)
            return None

        # Candidates of several days are opened together, since each opening is a record in the audit.
        waiting: list[int] = []
        seen: tuple[int, int | None] | None = None
        async for day, candidates in ids_with(self._store.database, hashed, query, before):
            late = self._clock.monotonic() >= ends
            if late and seen is not None and not waiting:
                last = seen[1] or await oldest_of(self._store.database, seen[0])
                if last not in (None, before):
                    return Found(found, whole=False, before=last)
            waiting += candidates
            if 0 < len(waiting) < _PAGE and not late:
                continue
            if (end := await look(waiting)) is not None:
                return end
            waiting, seen = [], (day, candidates[-1] if candidates else None)
        return await look(waiting) or Found(found, whole=True)

    async def _asked(self, candidates: Sequence[int], query: Query) -> list[MessageInfo]:
        """The candidates that a query asks for, in the same order."""
        if not candidates:
            return []
        # By their ids alone: SQLite would take an index by type or chat for narrower, and go through all of it.
        known = await self._store.fetch(select(*INFO_COLUMNS).where(messages.c.id.in_(candidates)))
        # What was withdrawn or shredded stands in the index until its day is rewritten.
        asked = {info.id: info for info in known if info.state == "kept" and fits(info, query)}
        return [asked[number] for number in candidates if number in asked]

    async def _opened(self, page: Sequence[StoredMessage], action: Action, who: str, why: str) -> list[Opened]:
        ciphers: dict[str, Cipher] = {}
        for bot in sorted({stored.info.bot for stored in page}):
            ids = [stored.info.id for stored in page if stored.info.bot == bot]
            await self._audit.record(who, action, bot, runs(ids), why)
            # Not the cipher in memory or Redis alone: an old message may lie under an old key.
            ciphers[bot] = await self._ciphers.refresh(bot)
        return [_open(stored, ciphers[stored.info.bot]) for stored in page]


def _open(stored: StoredMessage, cipher: Cipher) -> Opened:
    info = stored.info
    if stored.sealed is None:
        return Opened(info, fault="its content is gone" if info.state == "kept" else f"its content was {info.state}")
    try:
        return Opened(info, without_token(parsed(cipher.open(stored.sealed, record_identity(info.key)))))
    except SealBroken as error:
        return Opened(info, fault=str(error))
