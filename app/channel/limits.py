"""Feishu's rate limits as the hub keeps them: which bounds a call falls under, and how dense each may be."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from app.channel.windows import Window
from app.core.keys import Keys
from app.core.limit_settings import ApiLimit
from app.model.bot import BotSpec

Priority = Literal["alert", "reply", "send", "broadcast"]
"""Most urgent first. `alert` has a small share of its own, so that an alert about limits can leave."""
BoundKind = Literal["app", "chat", "ephemeral", "user", "message", "card", "hook", "alert"]
"""What is bounded; `alert` is the share of an app or a chat that is kept for alerts."""

AHEAD: Final[Mapping[Priority, float]] = {"alert": math.inf, "reply": math.inf, "send": 2.0, "broadcast": 1.0}
"""How far ahead (in Feishu's seconds) each may hold a slot: the most by which it can delay something more urgent."""

# Part of the even distance. With 1, slots moved by other bounds would leave gaps too small for another.
_APART: Final = 0.6
# Part of a second by which process, network and Feishu's own queue sometimes bring two calls closer together.
_LEAST_SLACK: Final = 0.03
# What a timer and a round trip take, however short a second is: otherwise no slot would ever be used in time.
_MIN_GRACE: Final = 2_000
UPDATE_PREVIEWS: Final = "im.url_previews.batch_update"
# APIs whose bounds are not the usual 50/s and 1000/min an app (Feishu docs: link previews).
_APIS: Final[Mapping[str, ApiLimit]] = {UPDATE_PREVIEWS: ApiLimit(per_second=5.0)}
# Ephemeral cards have their own bound in each group (Feishu docs: ephemeral cards, images, files).
EPHEMERAL: Final = "ephemeral.send"
HOOK_API: Final = "bot.v2.hook"
# Part of each bound, on top of it: it comes out of the headroom, and is no more than that leaves.
_ALERT_SHARE: Final = 0.05
# Even if the headroom leaves less: whoever set a limit too tight has to hear of it.
_ALERTS_PER_MINUTE: Final = 1.0
# Broadcasts spread a minute's calls over this many seconds, and leave a few to more urgent ones. At the rate of the
# second they would use up the minute in its first third, and nobody could answer for the rest.
_BROADCAST_MINUTE: Final = 62.0


@dataclass(frozen=True, slots=True)
class Quota:
    """Calls a month that several bots share."""

    bots: tuple[str, ...] = ()
    per_month: int | None = None
    """None: calls are only counted."""


@dataclass(frozen=True, slots=True)
class SendLimits:
    """What Feishu allows (Feishu docs: rate limits), and how far below that the hub stays."""

    app_per_second: float = 50.0
    """Calls of one API by one app."""
    app_per_minute: float = 1000.0
    apis: Mapping[str, ApiLimit] = field(default_factory=dict)
    """By API, for those with other bounds."""
    chat_per_second: float = 5.0
    """Messages to one chat or user, by all bots together."""
    ephemeral_per_second: float = 40.0
    """Ephemeral cards into one chat."""
    message_per_second: float = 5.0
    """Changes of one message."""
    card_per_second: float = 10.0
    """Operations on one card entity."""
    hook_per_second: float = 5.0
    """Messages to one custom bot."""
    hook_per_minute: float = 100.0
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    """By account; bots named in none belong to `default`."""
    headroom: float = 0.1
    """Part of each limit that is left free, at least 0.03 of a second.

    It stretches the windows rather than lowering the counts, so that bursts stay farther apart than the network can
    push them together.
    """
    second: float = 1.0
    """How long Feishu's second takes; the playground's can be shorter."""

    def __post_init__(self) -> None:
        rates = (
            self.app_per_second,
            self.app_per_minute,
            self.chat_per_second,
            self.ephemeral_per_second,
            self.message_per_second,
            self.card_per_second,
            self.hook_per_second,
            self.hook_per_minute,
        )
        if min(rates) <= 0 or not 0 <= self.headroom < 1 or self.second <= 0:
            raise ValueError("limits: rates and second must be above 0, headroom from 0 to below 1")

    @property
    def horizon(self) -> int:
        """Microseconds for which grants are remembered; no window can be longer."""
        return int(60 * self.second / (1 - self.headroom) * 1_000_000) + 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """One key of the limiter, what it allows, and how late (µs) a slot may be used without breaking it."""

    kind: BoundKind
    name: str
    """The app, chat, person, message or card that it bounds; of a custom bot a digest, since its token is a secret."""
    api: str
    """Set where it bounds one API of an app."""
    key: str = field(repr=False)
    pause: str = field(repr=False)
    """The key that says until when Feishu asked to pause."""
    windows: tuple[Window, ...] = ()
    feishu: tuple[Window, ...] = ()
    """Those that Feishu has too, the longest last; use is measured by them."""
    grace: int = 0
    apart: int = 0
    """How far apart (µs) slots are that are waited for.

    Otherwise a full window would be used in bursts for ever, since each slot comes free one window after another was
    used; and the network makes bursts denser.
    """
    numbers: tuple[int, ...] = field(default=(), repr=False)
    """`apart` and `windows` as reserve.lua takes them."""

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.kind} {self.name} {self.api}".rstrip()


class Bounds:
    """Tells which bounds a call falls under; a bot's own `limits` override the hub's."""

    def __init__(self, keys: Keys, limits: SendLimits) -> None:
        self._keys = keys
        self.limits = limits
        # Every call asks, and mostly for an app and API, or a receiver, that was asked for a moment ago.
        self._app = lru_cache(maxsize=4096)(self._app_bound)
        self._one = lru_cache(maxsize=8192)(self._bound)
        self._rates = lru_cache(maxsize=256)(self._windows)
        self._key: Mapping[BoundKind, Callable[[str], str]] = {
            "chat": keys.limit_chat,
            "ephemeral": keys.limit_ephemeral,
            "user": keys.limit_user,
            "message": keys.limit_message,
            "card": keys.limit_card,
        }

    def of(
        self,
        spec: BotSpec,
        api: str,
        *,
        chat: str = "",
        user: str = "",
        message: str = "",
        card: str = "",
        priority: Priority = "reply",
    ) -> tuple[Bound, ...]:
        """The bounds of one call, the one shared by the fewest first, the app's last."""
        own, limits = spec.config.limits, self.limits
        named = [apis[api] for apis in (own.apis, limits.apis, _APIS) if api in apis]
        alert = priority == "alert"
        app = self._app(
            spec.credentials.app_id,
            api,
            _first(one.per_second for one in named) or own.app_per_second or limits.app_per_second,
            _first(one.per_minute for one in named) or own.app_per_minute or limits.app_per_minute,
            alert,
            priority == "broadcast",
        )
        bounds: list[Bound] = []
        if api == EPHEMERAL and chat:
            bounds.append(self._one("ephemeral", chat, own.ephemeral_per_second or limits.ephemeral_per_second, alert))
        elif chat:
            bounds.append(self._one("chat", chat, own.chat_per_second or limits.chat_per_second, alert))
        elif user:
            bounds.append(self._one("user", user, own.chat_per_second or limits.chat_per_second, alert))
        if message:
            bounds.append(self._one("message", message, own.message_per_second or limits.message_per_second, alert))
        if card:
            bounds.append(self._one("card", card, own.card_per_second or limits.card_per_second, alert))
        bounds.append(app)
        return tuple(bounds)

    def hook(self, url: str) -> tuple[Bound, ...]:
        """The bound of one custom bot, known by its address."""
        name = hashlib.sha256(url.encode()).hexdigest()[:16]
        limits = self.limits
        rates = ((limits.hook_per_second, 1.0), (limits.hook_per_minute, 60.0))
        return (self._made("hook", name, HOOK_API, self._keys.limit_hook(name), rates, alert=False),)

    def _app_bound(self, app_id: str, api: str, second: float, minute: float, alert: bool, broadcast: bool) -> Bound:
        rates = ((second, 1.0), (minute, 60.0))
        few = max(1.0, minute // 60)
        spread = ((few, few / minute * _BROADCAST_MINUTE),) if broadcast else ()
        return self._made("app", app_id, api, self._keys.limit_app(app_id, api), rates, spread, alert=alert)

    def _bound(self, kind: BoundKind, name: str, rate: float, alert: bool) -> Bound:
        return self._made(kind, name, "", self._key[kind](name), ((rate, 1.0),), alert=alert)

    def _made(
        self,
        kind: BoundKind,
        name: str,
        api: str,
        key: str,
        rates: tuple[tuple[float, float], ...],
        spread: tuple[tuple[float, float], ...] = (),
        *,
        alert: bool,
    ) -> Bound:
        feishu, grace, apart = self._rates(rates, alert)
        windows = (*feishu, *(_window(self.limits, *each) for each in spread))
        pause = self._keys.limit_pause(key)
        if alert:
            kind, key = "alert", self._keys.limit_alerts(key)
        numbers = (apart, len(windows), *(number for window in windows for number in (window.count, window.span)))
        return Bound(kind, name, api, key, pause, windows, feishu, grace, apart, numbers)

    def _windows(self, rates: tuple[tuple[float, float], ...], alert: bool) -> tuple[tuple[Window, ...], int, int]:
        """Windows for rates (calls, Feishu's seconds), with the bound's `grace` and `apart`."""
        if alert:
            share = min(_ALERT_SHARE, self.limits.headroom)
            rates = tuple((max(count * share, _ALERTS_PER_MINUTE * length / 60), length) for count, length in rates)
        windows = tuple(_window(self.limits, count, length) for count, length in rates)
        # Half of what stretching the window leaves; the network may use the other half.
        shortest = min(windows, key=lambda window: window.span)
        slack = max(shortest.span * self.limits.headroom, _LEAST_SLACK * self.limits.second * 1_000_000)
        return windows, max(_MIN_GRACE, int(slack / 2)), int(_APART * shortest.span / shortest.count)


def _first(rates: Iterable[float | None]) -> float | None:
    return next(filter(None, rates), None)


def _window(limits: SendLimits, rate: float, length: float) -> Window:
    # Strictly: 4.5 a second means 4 in any second; 0.5 means 1 in any 2.
    length /= min(rate, 1.0)
    span = max(length / (1 - limits.headroom), length + _LEAST_SLACK) * limits.second
    return Window(max(1, int(rate)), min(round(span * 1_000_000), limits.horizon))
