"""Monthly calls that the bots of one account share: counted over all nodes, and stopped when Feishu says so."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from app.channel.limits import Priority, SendLimits
from app.core.clock import Clock
from app.core.errors import FeishuLimited, StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Script
from app.core.outage import guard
from app.core.redis import RedisLink
from app.feishu.codes import QUOTA_USED_UP

_COUNT = Script(Path(__file__).parent / "quota.lua")
DEFAULT_GROUP: Final = "default"
_ZONE: Final = timezone(timedelta(hours=8))
# A past month can still be looked at for a while.
_KEPT_MS: Final = 70 * 86_400_000

log = get_logger(__name__)


class Quotas:
    """Counts this process's calls, reported to Redis now and then, and knows the sum over all processes."""

    def __init__(self, link: RedisLink, keys: Keys, limits: SendLimits, clock: Clock) -> None:
        self._link = link
        self._keys = keys
        self._clock = clock
        self._headroom = limits.headroom
        self._allowed = {name: quota.per_month for name, quota in limits.quotas.items()}
        self._group = {bot: name for name, quota in limits.quotas.items() for bot in quota.bots}
        # Calls that Redis does not know of yet, by group and month.
        self._new: Counter[tuple[str, str]] = Counter()
        self._used: dict[tuple[str, str], int] = {}
        self._stopped: set[tuple[str, str]] = set()
        self._month, self._month_end = "", 0.0

    def count(self, bot: str) -> None:
        """Count one more call."""
        self._new[self._place(bot)] += 1

    def check(self, bot: str, priority: Priority) -> None:
        """Raise FeishuLimited if the month is used up; broadcasts leave the headroom to everything else.

        Alerts pass until Feishu itself refuses them: one of them says that the month is used up.
        """
        place = self._place(bot)
        group, month = place
        allowed = self._allowed.get(group)
        if place in self._stopped:
            raise _used_up(bot, group, f"Feishu said so (code {QUOTA_USED_UP})", self._left())
        if allowed is None or priority == "alert":
            return
        if priority == "broadcast":
            allowed = int(allowed * (1 - self._headroom))
        if self._used.get(place, 0) + self._new[place] >= allowed:
            raise _used_up(bot, group, f"{allowed} calls were made in {month} (limits.quota)", self._left())

    async def stop(self, bot: str) -> float:
        """Feishu said that the month is used up: no more calls on any node until it ends or an operator says so.

        Returns the seconds until it ends.
        """
        place = self._place(bot)
        group, month = place
        self._stopped.add(place)
        left = self._left()
        log.error("quota used up", bot=bot, group=group, month=month)
        try:
            with guard():
                await self._link.commands.set(self._keys.quota_stop(group), month, px=max(1, int(left * 1000)))
        except StoreUnavailable as error:
            log.warning("other nodes could not be told that the quota is used up", group=group, reason=str(error))
        return left

    async def tell(self) -> None:
        """Add this process's calls to the sum, and learn the sum; after StoreUnavailable they are added next time."""
        month = month_of(self._clock.now())
        for place in {*self._new, *((group, month) for group in (*self._allowed, *self._group.values()))}:
            told = self._new[place]
            keys = [self._keys.quota(*place), self._keys.quota_stop(place[0])]
            used, stopped = await _COUNT(self._link.commands, keys, [told, _KEPT_MS])
            self._new[place] -= told
            self._used[place] = used
            if stopped == place[1].encode():
                self._stopped.add(place)
            else:
                self._stopped.discard(place)
            if place[1] != month:
                del self._new[place]

    def _place(self, bot: str) -> tuple[str, str]:
        now = self._clock.now()
        if now >= self._month_end:
            self._month, self._month_end = month_of(now), month_end(now)
        return self._group.get(bot, DEFAULT_GROUP), self._month

    def _left(self) -> float:
        return month_end(self._clock.now()) - self._clock.now()


def month_of(now: float) -> str:
    """The month as `2026-11`, by Beijing's time: Feishu does not document by whose it counts."""
    return _local(now).strftime("%Y-%m")


def month_begin(now: float) -> float:
    """When this month began, in seconds since the epoch."""
    return _local(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


def month_end(now: float) -> float:
    """When this month ends, in seconds since the epoch."""
    here = _local(now)
    return month_begin(now) + monthrange(here.year, here.month)[1] * 86_400


def _local(now: float) -> datetime:
    return datetime.fromtimestamp(now, _ZONE)


def _used_up(bot: str, group: str, why: str, left: float) -> FeishuLimited:
    error = FeishuLimited(
        f"bot {bot} can call Feishu no more this month, the quota of {group} is used up: {why}; change the plan, or "
        f"raise limits.quota, and say `feishu-hub limits resume {group}`",
        code=QUOTA_USED_UP,
        retryable=False,
        retry_after=left,
    )
    error.bound = "quota"
    return error
