"""Stores messages as each bot's config says: with an index of their words, without what was withdrawn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Protocol

from app.core.errors import SealBroken, StoreUnavailable
from app.core.logs import get_logger
from app.feishu.plain_text import parsed, searchable_text
from app.model.catalog import Catalog
from app.storage.cipher import Cipher, record_identity
from app.storage.message import RECALLS, NewMessage
from app.storage.messages import Messages
from app.storage.words import hashes, tokens

# Messages hashed, at some 30 µs each, before the node's loop is let to others.
_BREATH: Final = 25

log = get_logger(__name__)


class Ciphers(Protocol):
    """Every bot's cipher."""

    async def cipher(self, bot: str) -> Cipher: ...


class Letters(Protocol):
    """The dead letters of all bots, with copies of their own."""

    async def withdraw(self, bot: str, message_ids: Sequence[str], *, but: Sequence[str] = ()) -> int: ...


class Keeping:
    """What the archiver writes to; every call raises StoreUnavailable while Redis, the database or a key is away."""

    def __init__(self, messages: Messages, ciphers: Ciphers, catalog: Catalog, letters: Letters | None = None) -> None:
        """`letters` loses those whose message was withdrawn."""
        self._messages = messages
        self._ciphers = ciphers
        self._catalog = catalog
        self._letters = letters

    async def insert(self, rows: Sequence[NewMessage]) -> None:
        """Store all or none; those already there stay as they are."""
        await self._messages.insert(rows, await self._words(rows))
        by_bot: defaultdict[str, list[NewMessage]] = defaultdict(list)
        for row in rows:
            if row.message_id:
                by_bot[row.bot].append(row)
        # After they are stored: the message itself may stand in the same batch.
        for bot, mine in by_bot.items():
            if not self._honours_recalls(bot):
                continue
            withdrawn = {row.message_id for row in mine if row.type in RECALLS}
            # Or it comes after its recall, by another archiver or out of the overflow.
            withdrawn.update(await self._messages.recalled(bot, [row.message_id for row in mine]))
            if withdrawn:
                await self._messages.recall(bot, list(withdrawn))
                if self._letters is not None:
                    await self._letters.withdraw(bot, list(withdrawn), but=RECALLS)

    async def _words(self, rows: Sequence[NewMessage]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        indexed = {bot for bot in {row.bot for row in rows} if self._indexes_words(bot)}
        if not indexed:
            return found
        for place, row in enumerate(rows):
            if place % _BREATH == 0:
                await asyncio.sleep(0)
            if row.bot not in indexed:
                continue
            # A message whose words cannot be read, for whatever reason, must not hold up those of all bots.
            try:
                numbers = await self._words_of(row)
            except StoreUnavailable:
                raise
            except SealBroken as error:
                log.warning("words of a message not indexed", bot=row.bot, key=row.key, error=str(error))
            except Exception as error:
                # Its own words may hold what was said.
                log.error("words of a message not indexed", bot=row.bot, key=row.key, error=type(error).__name__)
            else:
                if numbers:
                    found[place] = numbers
        return found

    async def _words_of(self, row: NewMessage) -> list[int]:
        cipher = await self._ciphers.cipher(row.bot)
        content = parsed(cipher.open(row.sealed, record_identity(row.key)))
        return hashes(cipher, tokens(searchable_text(content)))

    def _indexes_words(self, bot: str) -> bool:
        spec = self._catalog.bots.get(bot)
        return spec is not None and spec.config.word_index

    def _honours_recalls(self, bot: str) -> bool:
        spec = self._catalog.bots.get(bot)
        return spec is not None and spec.config.honour_recalls
