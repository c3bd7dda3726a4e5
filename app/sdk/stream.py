"""A card that types: what a handler writes into it appears as it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from app.core.errors import Misused


class Typing(Protocol):
    """A card under way; the worker types into Feishu, BotTest into a list."""

    @property
    def message_id(self) -> str:
        """The message that shows the card; empty until Feishu has taken it, and where it did not say."""
        ...

    def begin(self) -> None:
        """Start to show it, beside the handler."""
        ...

    def write(self, text: str) -> None:
        """Take more text; raises what has gone wrong with the card since."""
        ...

    async def end(self, error: BaseException | None) -> None:
        """Have the card show all of its text, and end; `error` is what ended the handler's part."""
        ...


class CardStream:
    """What `ctx.stream` gives: `async with` it, and write. Writing costs nothing and never waits for Feishu."""

    def __init__(self, open_card: Callable[[], Typing], check: Callable[[], object]) -> None:
        """`check` raises where the context takes no verbs any more."""
        self._open_card = open_card
        self._check = check
        self._card: Typing | None = None

    @property
    def message_id(self) -> str:
        """The (last) message that shows the card; may be empty, and is until Feishu has taken it."""
        return "" if self._card is None else self._card.message_id

    async def write(self, text: str) -> None:
        """Type on, in markdown; raises what went wrong with the card (as `ctx.reply` does)."""
        self._check()
        if self._card is None:
            raise Misused("a card types only inside `async with ctx.stream(…) as card:`")
        self._card.write(text)
        await asyncio.sleep(0)  # who writes without awaiting anything else must not hold the loop

    async def __aenter__(self) -> Self:
        self._check()
        self._card = self._open_card()
        self._card.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        card, self._card = self._card, None
        if card is not None:
            await card.end(error)
