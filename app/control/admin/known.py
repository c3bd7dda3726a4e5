"""Which bots can be asked about: an empty answer for a misspelt name would mislead."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from fastapi import HTTPException, Request

# Where a request names a bot; routes with the name in the body check it themselves.
_NAME: Final = "bot"

Left = Callable[[str], Awaitable[bool]]
"""Whether anything is kept of a bot that has no directory."""


class KnownBots:
    """The bots of the configuration, and removed ones that left something."""

    def __init__(self, configured: Callable[[], Collection[str]], left: Left) -> None:
        self._configured = configured
        self._left = left

    async def named(self, request: Request) -> None:
        """Let requests pass that name no bot or a known one; otherwise 404."""
        for bot in (request.path_params.get(_NAME), request.query_params.get(_NAME)):
            if bot is not None:
                await self.must_know(bot)

    async def must_know(self, bot: str) -> None:
        """Raise a 404 for an unknown bot."""
        configured = self._configured()
        if bot in configured or await self._left(bot):
            return
        near = difflib.get_close_matches(bot, configured, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise HTTPException(404, f"there is no bot {bot}: {meant}GET /api/v1/bots lists those there are")
