"""Whether anything is kept of a bot, though it may have no directory any more."""

from __future__ import annotations

from typing import Final

from app.core.keys import Keys
from app.core.outage import guard
from app.core.redis import RedisLink
from app.model.bot import BOT_ID
from app.storage.messages import Messages
from app.storage.query import Query

# Whatever is sealed has a data key first; the others cover bots that lost it, or have only what is not sealed.
_PARTS: Final = ("key", "dead", "log", "timers")


class Traces:
    """Looks in Redis and in the message store; raises StoreUnavailable where one of them is away."""

    def __init__(self, link: RedisLink, keys: Keys, messages: Messages) -> None:
        self._link = link
        self._keys = keys
        self._messages = messages

    async def left_by(self, bot: str) -> bool:
        """Whether a bot of that name ever was here, and has not been forgotten."""
        if not BOT_ID.match(bot):
            return False
        with guard():
            if await self._link.commands.exists(*(self._keys.bot(bot, part) for part in _PARTS)):
                return True
        return bool(await self._messages.search(Query(bot), limit=1))
