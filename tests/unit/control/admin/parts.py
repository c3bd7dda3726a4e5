"""Parts of the admin API that its tests share."""

from __future__ import annotations

from app.control.admin.known import KnownBots


def known_bots(*configured: str, left: tuple[str, ...] = ()) -> KnownBots:
    """These are configured, and of those in `left` something is kept."""

    async def is_left(bot: str) -> bool:
        return bot in left

    return KnownBots(lambda: configured, is_left)
