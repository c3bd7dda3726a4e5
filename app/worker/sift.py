"""Sets aside what no handler should see: the bot's own messages, stale ones, and bots that only talk to bots."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Script
from app.core.redis import RedisLink
from app.model.event import Event
from app.queue.work import Work
from app.sdk.body import mapping, string
from app.sdk.me import Me
from app.worker.roster import Resident

_TURNS = Script(Path(__file__).parent / "turns.lua")
_MINUTE_MS: Final = 60_000

log = get_logger(__name__)


def from_program(event: Event) -> bool:
    """Whether a bot wrote it (`sender_type` is `bot`, or `app` in older documents)."""
    return event.is_message and string(mapping(event.body, "sender"), "sender_type") in ("bot", "app")


def names_somebody(event: Event) -> bool:
    """Whether people or bots are mentioned in it."""
    return event.is_message and bool(mapping(event.body, "message").get("mentions"))


class Sieve:
    """Says why an event is set aside, if it is."""

    def __init__(self, link: RedisLink, keys: Keys, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = link
        self._keys = keys
        self._clock = clock

    async def why_not(self, resident: Resident, me: Me, event: Event, work: Work) -> str:
        """The reason to set it aside, or an empty string; raises StoreUnavailable."""
        if not event.is_message:
            return ""
        config = resident.spec.config
        if from_program(event):
            if _is_own(event, me, resident.spec.credentials.app_id):
                return "the bot wrote it itself"
            if work.starts == 1 and await self._over_turns(resident, event):
                return "bots talk to each other too often in this chat"
        stale_after = config.message.stale_after
        if stale_after is not None and config.message.on_stale == "drop" and work.entry.replay == 0:
            age = self._clock.now() - (event.created or work.entry.received)
            if age > stale_after:
                return "it is stale"
        return ""

    async def _over_turns(self, resident: Resident, event: Event) -> bool:
        bot, limit = resident.spec.id, resident.spec.config.bot_turns_per_minute
        turns = await _TURNS(self._link.commands, [self._keys.turns(bot, event.chat_id or event.user_id)], [_MINUTE_MS])
        if turns == limit + 1:
            log.warning(
                "bot stops answering other bots in a chat for a minute",
                bot=bot,
                chat=event.chat_id,
                limit=limit,
            )
        return int(turns) > limit


def _is_own(event: Event, me: Me, app_id: str) -> bool:
    sender = mapping(event.body, "sender")
    ids = mapping(sender, "sender_id")
    known = {string(ids, "open_id"), string(ids, "app_id"), string(sender, "id"), event.user_id}
    return bool(known & {me.open_id, app_id} - {""})
