"""Feishu's rate limits, counted over sliding windows and kept strictly."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from app.control.playground.wire import Refusal
from app.core.clock import Clock

FREQUENCY: Final = 99991400  # gateway: too many calls of one API by one app
CHAT_FREQUENCY: Final = 230020  # messages: too many to one user or chat
HOOK_FREQUENCY: Final = 11232


@dataclass(frozen=True, slots=True)
class Bound:
    """At most `count` within `window` seconds."""

    count: int
    window: float


SECOND: Final = Bound(50, 1.0)
MINUTE: Final = Bound(1000, 60.0)
TIER_4: Final = (SECOND, MINUTE)
PER_CHAT: Final = Bound(5, 1.0)
PER_MESSAGE: Final = Bound(5, 1.0)
PER_CARD: Final = Bound(10, 1.0)
PER_PREVIEW: Final = Bound(1, 5.0)
PER_GROUP_EPHEMERAL: Final = Bound(40, 1.0)
PREVIEW_CALLS: Final = (Bound(5, 1.0),)
HOOK: Final = (Bound(5, 1.0), Bound(100, 60.0))


class RateLimits:
    """All counters; `scale` multiplies every bound, `enabled` switches them off together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.enabled = True
        self.scale = 1.0
        self.status_400: set[str] = set()
        """Names of APIs that answer 400 instead of 429, as some older ones of Feishu's do."""
        self._taken: dict[tuple[str, ...], deque[float]] = {}

    def gateway(self, app_id: str, api: str, bounds: tuple[Bound, ...] = TIER_4) -> None:
        """Count one call of an API by an app; Refusal 429 (or 400) with 99991400 and both headers over a bound."""
        if not self.enabled:
            return
        for bound in bounds:
            wait = self._wait(("app", app_id, api, str(bound.window)), bound)
            if wait is not None:
                raise Refusal(
                    FREQUENCY,
                    "request trigger frequency limit",
                    status=400 if api in self.status_400 else 429,
                    headers={
                        "x-ogw-ratelimit-limit": str(self._allowed(bound)),
                        "x-ogw-ratelimit-reset": str(max(1, math.ceil(wait))),
                    },
                    violation="app_second" if bound.window <= 1 else "app_minute",
                )
        for bound in bounds:
            self._take(("app", app_id, api, str(bound.window)))

    def target(self, kind: str, name: str, bound: Bound = PER_CHAT) -> None:
        """Count one message to a chat or user (over all apps), or one change of a message or card."""
        if not self.enabled:
            return
        key = (kind, name)
        if self._wait(key, bound) is not None:
            raise Refusal(
                CHAT_FREQUENCY, f"The request triggered the frequency limit, ext={kind} rate limit", violation=kind
            )
        self._take(key)

    def reset(self) -> None:
        """Forget everything counted."""
        self._taken.clear()

    def _allowed(self, bound: Bound) -> int:
        return max(1, int(bound.count * self.scale))

    def _wait(self, key: tuple[str, ...], bound: Bound) -> float | None:
        """Seconds until there is room again; None where there is room now."""
        taken = self._taken.get(key)
        if taken is None:
            return None
        now = self._clock.monotonic()
        while taken and taken[0] <= now - bound.window:
            taken.popleft()
        if len(taken) < self._allowed(bound):
            return None
        return taken[len(taken) - self._allowed(bound)] + bound.window - now

    def _take(self, key: tuple[str, ...]) -> None:
        self._taken.setdefault(key, deque()).append(self._clock.monotonic())
