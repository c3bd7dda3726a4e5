"""What Feishu says about a bot itself; asked rarely, since every call counts against the tenant's quota."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from app.channel.exchange import Call, Exchange
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import FeishuError, FeishuUnavailable, StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.redis import RedisLink, guard
from app.model.bot import BotSpec

_GOOD_FOR: Final = 300.0
# A bot's open_id never changes: where Feishu does not answer, what is known serves on.
_ASK_AGAIN: Final = 30.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BotInfo:
    """The bot as its own app sees it."""

    open_id: str
    name: str


class BotFacts:
    """`bot_info` by app, kept five minutes in memory and in Redis."""

    def __init__(self, exchange: Exchange, link: RedisLink, keys: Keys, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._exchange = exchange
        self._link = link
        self._keys = keys
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, BotInfo]] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def info(self, spec: BotSpec) -> BotInfo:
        """The bot's open_id and name; raises FeishuError where nothing is known and Feishu does not say."""
        place = (spec.credentials.base_url, spec.credentials.app_id)
        known = self._known.get(place)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        async with self._locks.setdefault(place, asyncio.Lock()):
            known = self._known.get(place)
            if known is not None and self._clock.monotonic() < known[0]:
                return known[1]
            good_for = _GOOD_FOR
            try:
                info = await self._shared(spec) or await self._ask(spec)
            except FeishuError as error:
                if known is None:
                    raise
                log.warning("bot info could not be renewed", bot=spec.id, code=error.code, reason=str(error))
                info, good_for = known[1], _ASK_AGAIN
            self._known[place] = (self._clock.monotonic() + good_for, info)
            return info

    async def _ask(self, spec: BotSpec) -> BotInfo:
        answer = await self._exchange.run(spec, Call("bot.info", "GET", "/open-apis/bot/v3/info"))
        # Feishu docs: bot info: `bot` stands at top level, not in `data`.
        bot = answer.document.get("bot")
        if not isinstance(bot, dict) or not isinstance(bot.get("open_id"), str):
            raise FeishuUnavailable(
                f"Feishu's answer to bot.info of bot {spec.id} names no open_id", log_id=answer.log_id
            )
        info = BotInfo(bot["open_id"], str(bot.get("app_name", "")))
        try:
            with guard():
                await self._link.commands.set(self._key(spec), orjson.dumps(asdict(info)), ex=int(_GOOD_FOR))
        except StoreUnavailable:
            pass  # the other nodes ask for themselves
        return info

    async def _shared(self, spec: BotSpec) -> BotInfo | None:
        try:
            with guard():
                kept: Any = await self._link.commands.get(self._key(spec))
            return None if kept is None else BotInfo(**orjson.loads(kept))
        except (StoreUnavailable, orjson.JSONDecodeError, TypeError):
            return None

    def _key(self, spec: BotSpec) -> str:
        return self._keys.bot_info(spec.credentials.app_id, spec.credentials.base_url)
