"""Sends messages to custom bots, which are no apps: signed, within bounds of their own."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from app.channel.limiter import Limiter
from app.channel.limits import HOOK_API
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import FeishuLimited, FeishuUnavailable
from app.core.logs import get_logger
from app.feishu.client import FeishuApi
from app.feishu.codes import error_for
from app.feishu.signature import hook_sign

_TRIES: Final = 4
_FIRST_WAIT: Final = 0.5
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_TIMEOUT: Final = 10.0

log = get_logger(__name__)


class Hooks:
    """The way to custom bots (Feishu docs: custom bot guide)."""

    def __init__(
        self, api: FeishuApi, limiter: Limiter, *, clock: Clock = SYSTEM_CLOCK, chance: random.Random | None = None
    ) -> None:
        self._api = api
        self._limiter = limiter
        self._clock = clock
        self._chance = chance or random.Random()

    async def send(self, url: str, secret: str | None, message: Mapping[str, Any]) -> None:
        """Send a message (`msg_type` and `content` or `card`) to the custom bot at `url`, signed where it has a secret.

        Tried four times if Feishu is busy or cannot be reached. Nothing makes repeating harmless: if an answer was
        lost, FeishuUnavailable is raised with `sent`, and the caller decides. Raises FeishuError.
        """
        bounds = self._limiter.bounds.hook(url)
        label = f"custom bot {bounds[0].name}"
        for attempt in range(1, _TRIES + 1):
            slot = await self._limiter.slot(bounds, priority="alert")
            try:
                return await self._once(url, secret, message, label)
            except FeishuLimited as error:
                if attempt == _TRIES:
                    raise
                seconds = await self._limiter.pause(
                    bounds[0], error.retry_after, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE, at=slot.at
                )
                log.info("send limit hit", hook=bounds[0].name, code=error.code, bound="hook", seconds=seconds)
            except FeishuUnavailable as error:
                if error.sent or attempt == _TRIES:
                    raise
                await self._clock.sleep(_FIRST_WAIT * 2 ** (attempt - 1) * (0.5 + self._chance.random()))

    async def _once(self, url: str, secret: str | None, message: Mapping[str, Any], label: str) -> None:
        body = dict(message)
        if secret:
            # Made for each attempt: it is good for an hour.
            stamp = str(int(self._clock.now()))
            body |= {"timestamp": stamp, "sign": hook_sign(stamp, secret)}
        # Split, since errors name where a call went, and the rest of the address is the custom bot's token.
        place = urlsplit(url)
        answer = await self._api.request(
            f"{place.scheme}://{place.netloc}",
            "POST",
            place.path,
            json=body,
            timeout=_TIMEOUT,
            label=f"{HOOK_API} of {label}",
        )
        if answer.code != 0:
            raise error_for(answer, label)
