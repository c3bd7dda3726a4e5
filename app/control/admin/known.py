"""Which bots can be asked about: nothing found of a misspelt one is no answer."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from fastapi import HTTPException, Request

# Where a request names a bot; one that has it in its body asks by itself.
_NAME: Final = "bot"

Left = Callable[[str], Awaitable[bool]]
"""Whether anything is kept of a bot that has no directory."""


class KnownBots:
    """The bots of the configuration, and those of which something is left."""

    def __init__(self, configured: Callable[[], Collection[str]], left: Left) -> None:
        self._configured = configured
        self._left = left

    async def named(self, request: Request) -> None:
        """Lets those requests pass that name no bot, or one that is known; else 404."""
        for bot in (request.path_params.get(_NAME), request.query_params.get(_NAME)):
            if bot is not None:
                await self.must_know(bot)

    async def must_know(self, bot: str) -> None:
        """404 for a bot of which nobody ever heard."""
        configured = self._configured()
        if bot in configured or await self._left(bot):
            return
        near = difflib.get_close_matches(bot, configured, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise HTTPException(404, f"there is no bot {bot}: {meant}GET /api/v1/bots lists those there are")
