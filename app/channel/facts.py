"""What Feishu says about bots, chats and people; asked rarely, since every call counts against the tenant's quota."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache

from app.channel.call import Call, segment
from app.channel.exchange import Exchange
from app.core.errors import FeishuError, FeishuRefused, FeishuUnavailable, HubError
from app.core.logs import get_logger
from app.model.bot import BotSpec
from app.storage.cache import CacheTiers

# A private chat's id never changes; one that nobody writes to for this long is learnt again.
_CHAT_KEPT: Final = 30 * 86_400.0
_KNOWN_CHATS: Final = 10_000

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BotInfo:
    """The bot as its own app sees it."""

    open_id: str
    name: str


class BotFacts:
    """Facts by bot, kept in the cache: an open_id and a chat look different to each app."""

    def __init__(self, exchange: Exchange, cache: CacheTiers) -> None:
        self._exchange = exchange
        self._cache = cache
        self._last: dict[str, BotInfo] = {}
        self._chats: LRUCache[tuple[str, str], str] = LRUCache(_KNOWN_CHATS)

    async def info(self, spec: BotSpec) -> BotInfo:
        """The bot's open_id and name; raises FeishuError if nothing is known and Feishu does not say."""

        async def ask() -> dict[str, str]:
            answer = await self._exchange.run(spec, Call("bot.info", "GET", "/open-apis/bot/v3/info"))
            # Feishu docs: bot info: `bot` stands at top level, not in `data`.
            bot = answer.document.get("bot")
            if not isinstance(bot, dict) or not isinstance(bot.get("open_id"), str):
                raise FeishuUnavailable(
                    f"Feishu's answer to bot.info of bot {spec.id} names no open_id", log_id=answer.log_id
                )
            return {"open_id": bot["open_id"], "name": str(bot.get("app_name", ""))}

        # The bot's directory may name another app later.
        place = f"{spec.credentials.base_url} {spec.credentials.app_id}"
        try:
            info = BotInfo(**await self._cache.of(spec.id).get_or_load(f"bot.info {place}", ask))
        except FeishuError as error:
            # A bot's open_id never changes: while Feishu does not answer, what was known still serves.
            if place not in self._last:
                raise
            log.warning("bot info could not be renewed", bot=spec.id, code=error.code, reason=str(error))
            return self._last[place]
        self._last[place] = info
        return info

    async def chat(self, spec: BotSpec, chat_id: str) -> Mapping[str, Any] | None:
        """A chat's profile; None if there is no such chat or the bot is not in it."""
        call = Call("im.chat.get", "GET", f"/open-apis/im/v1/chats/{segment(chat_id)}")
        return await self._profile(spec, f"chat {chat_id}", call, "")

    async def user(self, spec: BotSpec, open_id: str) -> Mapping[str, Any] | None:
        """A person's profile; None if the app may not see them."""
        path = f"/open-apis/contact/v3/users/{segment(open_id)}"
        call = Call("contact.user.get", "GET", path, query=(("user_id_type", "open_id"),))
        return await self._profile(spec, f"user {open_id}", call, "user")

    async def private_chat(self, spec: BotSpec, person: str) -> str:
        """The chat to which a person's id leads, if any process has learnt it: both count against the same limit."""
        place = (spec.credentials.app_id, person)
        if (chat := self._chats.get(place)) is None:
            try:
                chat = await self._cache.of(spec.id).get(_chat_key(*place), "")
            except HubError:
                chat = ""  # its limit is still kept, as the person's
            if chat:
                self._chats[place] = chat
        return chat

    async def learn_private_chat(self, spec: BotSpec, person: str, chat: str) -> None:
        """Let every process know it; does no harm if that fails."""
        place = (spec.credentials.app_id, person)
        if self._chats.get(place) == chat:
            return
        self._chats[place] = chat
        try:
            await self._cache.of(spec.id).set(_chat_key(*place), chat, ttl=_CHAT_KEPT)
        except HubError as error:
            log.warning("private chat could not be kept", bot=spec.id, reason=str(error))

    async def _profile(self, spec: BotSpec, key: str, call: Call, part: str) -> Mapping[str, Any] | None:
        async def ask() -> Mapping[str, Any] | None:
            try:
                data = (await self._exchange.run(spec, call)).data
            except FeishuRefused as error:
                log.info("profile not to be had", bot=spec.id, api=call.api, code=error.code)
                return None
            found = data.get(part) if part else data
            return found if isinstance(found, dict) else None

        return await self._cache.of(spec.id).get_or_load(f"{spec.credentials.app_id} {key}", ask)


def _chat_key(app_id: str, person: str) -> str:
    return f"{app_id} private chat {person}"
