"""How a handler ends other than by returning: `raise Retry(…)` and `raise Drop(…)`."""

from __future__ import annotations

from app.core.values import parse_span


class Retry(Exception):
    """Try this event again; written by the author where trying again can help.

    `after` is a span (seconds, or `30s`, `5m`); None follows the bot's `retry_policy`. A span that would hold up
    the conversation longer than `max_hold` lets this one event re-enter later, out of order.
    """

    def __init__(self, after: float | str | None = None, *, reason: str = "") -> None:
        super().__init__(reason or "the handler asked for another attempt")
        self.after: float | None = None if after is None else parse_span(after)
        self.reason = reason


class Drop(Exception):
    """Give this event up without another attempt; the reason is logged, so it holds no message text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
