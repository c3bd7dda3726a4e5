"""How much of Feishu's limits is used, and what waits: read from Redis, for alerts, metrics and the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.channel.limits import BoundKind, SendLimits
from app.channel.meter import TOP
from app.channel.quotas import DEFAULT_GROUP, month_begin, month_end, month_of
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.core.outage import guard
from app.core.redis import RedisLink

_USE = Script(Path(__file__).parent / "use.lua")
_MICROS: Final = 1_000_000
# A younger month says nothing about its end: a few calls in its first minutes would project to thousands.
_TELLING: Final = 3 * 86_400.0


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One bound over one span, as all nodes together use it now."""

    kind: BoundKind
    name: str
    """The app id, chat id, open id, message id or card id; for a custom bot a digest of its address."""
    api: str
    """Set for `app`: each API of an app has its own bound."""
    used: int
    """Calls within the last `span`."""
    mean: float
    """Calls in a `span`, averaged over the last minute: a bound of five is used up even if some second has four."""
    allowed: int
    """Calls that the hub allows itself in it, headroom subtracted."""
    span: float
    """Seconds, as Feishu counts: 1 or 60."""
    waiting: int
    """Calls that were waiting for a slot under this bound up to a second ago."""
    wait: float
    """Seconds that the longest waiting call has waited, or how far ahead the last slot given is."""
    paused_until: float | None
    """Seconds since the epoch, where Feishu asked to pause."""

    @property
    def share(self) -> float:
        """The mean of allowed, 0 to 1."""
        return self.mean / self.allowed


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """Calls of one account in this month."""

    group: str
    month: str
    used: int
    allowed: int | None
    """None: not known, the calls are only counted."""
    projected: int
    """Calls by the end of the month at this rate; at first as if three days had passed."""
    stopped: bool
    """Whether Feishu said that the month is used up."""


class Usage:
    """Reads what sending processes reported in the last seconds; each call raises StoreUnavailable."""

    def __init__(self, link: RedisLink, keys: Keys, limits: SendLimits, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._link = link
        self._keys = keys
        self._allowed: dict[str, int | None] = {DEFAULT_GROUP: None}
        self._allowed |= {name: quota.per_month for name, quota in limits.quotas.items()}
        self._clock = clock
        self._minute = limits.horizon - _MICROS
        """Feishu's minute, stretched by the headroom (µs): all grants are remembered that long."""
        self._pipe = Pipeliner(link.commands, cluster=link.cluster)

    async def read(self) -> list[LimitUse]:
        """Every API of every app called within the minute, and the busiest of chats and the like."""
        lines = await self._lines()
        asked = [
            self._pipe.submit(
                _USE, [line["key"], line["pause"]], [self._minute, *(span for _, span, _ in line["spans"])]
            )
            for line in lines
        ]
        found: list[LimitUse] = []
        for line, (now, last, paused, minute, *used) in zip(lines, await asyncio.gather(*asked), strict=True):
            ahead = max(0.0, (last - now) / _MICROS)
            for count, (allowed, span, seconds) in zip(used, line["spans"], strict=True):
                found.append(
                    LimitUse(
                        kind=line["kind"],
                        name=line["name"],
                        api=line["api"],
                        used=count,
                        mean=round(minute * span / self._minute, 3),
                        allowed=allowed,
                        span=seconds,
                        waiting=line["waiting"],
                        wait=max(line["wait"], ahead),
                        paused_until=paused / _MICROS if paused > now else None,
                    )
                )
        return found

    async def quotas(self) -> list[QuotaUse]:
        """Every account with calls in this month or a quota."""
        now = self._clock.now()
        month, begin, end = month_of(now), month_begin(now), month_end(now)
        found: list[QuotaUse] = []
        for group, allowed in self._allowed.items():
            with guard():
                used = int(await self._link.commands.get(self._keys.quota(group, month)) or 0)
                stopped = await self._link.commands.get(self._keys.quota_stop(group)) == month.encode()
            if used or allowed or stopped:
                projected = int(used * (end - begin) / max(now - begin, _TELLING))
                found.append(QuotaUse(group, month, used, allowed, projected, stopped))
        return found

    async def resume(self, group: str) -> bool:
        """Let an account's bots call again although Feishu said that its month is used up; whether it had said so."""
        with guard():
            return bool(await self._link.commands.delete(self._keys.quota_stop(group)))

    async def _lines(self) -> Sequence[dict[str, Any]]:
        """What all processes reported, one line for each bound, up to a limit."""
        with guard():
            names: Any = await self._link.commands.zrange(self._keys.limits, 0, -1)
            keys = [self._keys.limit_use(name.decode()) for name in names]
            reports: Any = await self._link.commands.mget(keys) if keys else []
        lines: dict[str, dict[str, Any]] = {}
        for report in reports:
            for line in orjson.loads(report or b"[]"):
                known = lines.setdefault(line["key"], line)
                if known is not line:
                    known["waiting"] += line["waiting"]
                    known["wait"] = max(known["wait"], line["wait"])
        apps = [line for line in lines.values() if line["kind"] == "app"]
        others = [line for line in lines.values() if line["kind"] != "app"]
        others.sort(key=lambda line: line["waiting"], reverse=True)
        return [*apps, *others[:TOP]]
