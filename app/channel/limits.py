"""Feishu's rate limits as the hub keeps them: which bounds a call falls under, and how dense each may be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from app.channel.windows import Window
from app.core.keys import Keys
from app.model.bot import BotSpec

# Without headroom: what a timer and a round trip take. Nobody's slot would ever be in time otherwise.
_MIN_GRACE: Final = 2_000
UPDATE_PREVIEWS: Final = "im.url_previews.batch_update"
# Calls that Feishu bounds otherwise than by 50/s and 1000/min an app (Feishu docs: link previews).
_APP_PER_SECOND: Final = {UPDATE_PREVIEWS: 5.0}
# Ephemeral cards have a bound of their own a group (Feishu docs: ephemeral cards, images, files).
EPHEMERAL: Final = "ephemeral.send"
_EPHEMERAL_PER_SECOND: Final = 40.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What Feishu allows (Feishu docs: rate limits), and how far the hub stays below it."""

    app_per_second: float = 50.0
    """Calls of one API by one app."""
    app_per_minute: float = 1000.0
    chat_per_second: float = 5.0
    """Messages to one chat or user, by all bots together."""
    message_per_second: float = 5.0
    """Changes of one message."""
    headroom: float = 0.1
    """Part of each limit that is left free. It stretches the windows rather than lowering the counts: two bursts
    then stay apart by more than the network can push them together."""
    second: float = 1.0
    """How long Feishu's second takes; the playground's can be shorter."""

    def __post_init__(self) -> None:
        rates = (self.app_per_second, self.app_per_minute, self.chat_per_second, self.message_per_second)
        if min(rates) <= 0 or not 0 <= self.headroom < 1 or self.second <= 0:
            raise ValueError("limits: rates and second must be above 0, headroom from 0 to below 1")

    @property
    def horizon(self) -> int:
        """Microseconds for which grants are remembered; also the longest window there can be."""
        return int(60 * self.second / (1 - self.headroom) * 1_000_000) + 1_000_000


@dataclass(frozen=True, slots=True)
class Bound:
    """One key of the limiter, what it allows, and how late (µs) a slot may be used without breaking it."""

    key: str
    windows: tuple[Window, ...]
    grace: int
    whole_app: bool = False
    """Whether it bounds all calls of an API by an app, not those to one chat."""


def bounds_of(
    keys: Keys, limits: Limits, spec: BotSpec, api: str, *, chat: str = "", user: str = "", message: str = ""
) -> tuple[Bound, ...]:
    """The bounds of one call, the one shared by the fewest first; the bot's own `limits` go over the hub's."""
    own = spec.config.limits
    bounds: list[Bound] = []
    if chat or user:
        rate = own.chat_per_second or limits.chat_per_second
        key = keys.limit_chat(chat) if chat else keys.limit_user(user)
        if api == EPHEMERAL:
            rate, key = _EPHEMERAL_PER_SECOND, keys.limit_ephemeral(chat)
        bounds.append(_bound(key, limits, (rate, 1.0)))
    if message:
        bounds.append(_bound(keys.limit_message(message), limits, (limits.message_per_second, 1.0)))
    second = _APP_PER_SECOND.get(api) or own.app_per_second or limits.app_per_second
    minute = own.app_per_minute or limits.app_per_minute
    whole = _bound(keys.limit_app(spec.credentials.app_id, api), limits, (second, 1.0), (minute, 60.0))
    return (*bounds, replace(whole, whole_app=True))


def _bound(key: str, limits: Limits, *rates: tuple[float, float]) -> Bound:
    """`rates`: how many in how many of Feishu's seconds."""
    windows = tuple(_window(limits, count, length) for count, length in rates)
    # Half of what the stretched window leaves; the network may use the other half.
    slack = min(window.span for window in windows) * limits.headroom
    return Bound(key, windows, max(_MIN_GRACE, int(slack / 2)))


def _window(limits: Limits, rate: float, length: float) -> Window:
    # Strictly: 4.5 a second are 4 in any second; half a one is 1 in any 2.
    span = length * limits.second / min(rate, 1.0) / (1 - limits.headroom)
    return Window(max(1, int(rate)), min(int(span * 1_000_000), limits.horizon))
