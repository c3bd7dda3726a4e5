"""Sends alerts by apprise: to Slack, email, DingTalk, WeCom, and a hundred other services, each by a URL."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Final

from app.control.alerts.notice import Notice
from app.control.alerts.wording import Wording
from app.core.errors import HubError

# Its sockets give up after 4 s to connect and 4 s to read; an email takes several exchanges.
_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class ByApprise:
    """Runs the library in a thread, since it blocks, and imports it only when an alert is sent or a URL checked."""

    name: str
    standby: bool
    url: str = field(repr=False)
    wording: Wording

    async def send(self, notice: Notice) -> None:
        title = self.wording.title(notice)
        body = "\n".join(filter(None, (*self.wording.lines(notice), self.wording.dashboard)))
        burning = any(item.news != "resolved" for item in notice.items)
        try:
            async with asyncio.timeout(_TIMEOUT):
                sent = await asyncio.to_thread(_notify, self.url, title, body, burning)
        except TimeoutError:
            sent = False
        if sent is None:
            raise HubError(f"alerts.channels.{self.name}: apprise does not know a URL of this form")
        if not sent:
            # Only the library's log says why, and it may hold the URL's secrets.
            raise HubError(
                f"alerts.channels.{self.name}: {self.url.partition(':')[0]} did not take it; "
                "try the URL with the command `apprise -vv`",
                retryable=True,
            )


def _notify(url: str, title: str, body: str, burning: bool) -> bool | None:
    """Whether it was taken; None if the URL means nothing to apprise."""
    import apprise

    way = _way(url)
    if way is None:
        return None
    kind = apprise.NotifyType.WARNING if burning else apprise.NotifyType.SUCCESS
    return bool(way.notify(body, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT))


def is_known(url: str) -> bool:
    """Whether the URL means something to apprise; nothing is sent."""
    return _way(url) is not None


def _way(url: str) -> Any:
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    way = apprise.Apprise()
    return way if way.add(url) else None
