"""What a bot remembers between events: small JSON values, sealed where they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from app.core.errors import Misused
from app.core.values import parse_span
from app.sdk.verbs import Verbs


class State:
    """`ctx.state`: values for the event's chat, for its user, and for the bot as a whole."""

    def __init__(self, verbs: Callable[[], Verbs], *, chat_id: str, user_id: str) -> None:
        self._verbs = verbs
        self._chat_id = chat_id
        self._user_id = user_id

    @property
    def chat(self) -> Shelf:
        """Values of the chat that the event is of; RuntimeError where it is of none."""
        return self.of_chat(self._chat_id)

    @property
    def user(self) -> Shelf:
        """Values of the person who caused the event; RuntimeError where nobody did."""
        return self.of_user(self._user_id)

    @property
    def bot(self) -> Shelf:
        """Values of the bot, whoever writes and wherever."""
        return Shelf(self._verbs, "bot")

    def of_chat(self, chat_id: str) -> Shelf:
        """Values of another chat."""
        if not chat_id:
            raise Misused("this event is of no chat: use ctx.state.bot or ctx.state.of_chat(chat_id)")
        return Shelf(self._verbs, f"chat:{chat_id}")

    def of_user(self, open_id: str) -> Shelf:
        """Values of another person."""
        if not open_id:
            raise Misused("nobody caused this event: use ctx.state.bot or ctx.state.of_user(open_id)")
        return Shelf(self._verbs, f"user:{open_id}")


class Shelf:
    """Values of one chat, one user or the bot; any JSON value, a tuple comes back as a list."""

    def __init__(self, verbs: Callable[[], Verbs], scope: str) -> None:
        self._verbs = verbs
        self._scope = scope

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` where there is none."""
        kept = await self._verbs().state_get(self._scope, key)
        return default if kept is None else json.loads(kept)

    async def set(self, key: str, value: Any, *, ttl: float | str | None = None) -> None:
        """Keep a value, for good or for a span (seconds, or `30s`, `24h`); TypeError if it is not JSON."""
        await self._verbs().state_set(self._scope, key, _written(value), _span(ttl))

    async def incr(self, key: str, by: int = 1, *, ttl: float | str | None = None) -> int:
        """Add to a number, which begins at 0, and give the sum; no other handler's addition is lost.

        `ttl` runs from the first addition on and is not renewed by later ones. TypeError if the value is no number.
        """
        total = 0

        def add(kept: bytes | None) -> bytes:
            nonlocal total
            before = 0 if kept is None else json.loads(kept)
            if not isinstance(before, int) or isinstance(before, bool):
                raise TypeError(f"the value at {key!r} is a {type(before).__name__}, not a whole number")
            total = before + by
            return _written(total)

        await self._verbs().state_change(self._scope, key, add, _span(ttl), keep_ttl=True)
        return total

    async def compare_and_set(self, key: str, expected: Any, value: Any, *, ttl: float | str | None = None) -> bool:
        """Keep a value if the one there is `expected` (None: if there is none); whether it was."""
        wanted, written = json.loads(_written(expected)), _written(value)

        def replace(kept: bytes | None) -> bytes | None:
            found = None if kept is None else json.loads(kept)
            return written if found == wanted and type(found) is type(wanted) else None

        return await self._verbs().state_change(self._scope, key, replace, _span(ttl))

    async def ttl(self, key: str) -> float | None:
        """Seconds for which the value is still kept; None if it is kept for good, or is not there."""
        return await self._verbs().state_ttl(self._scope, key)

    async def delete(self, key: str) -> None:
        """Forget a value."""
        await self._verbs().state_delete(self._scope, key)


def _written(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _span(ttl: float | str | None) -> float | None:
    return None if ttl is None else parse_span(ttl)
