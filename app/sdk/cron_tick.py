"""One firing of a schedule."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.model.event import Event
from app.sdk.body import string

CRON_TYPE = "hub.cron"
"""Type of the hub's own events that carry a firing to the bot; Feishu has none of that name."""


@dataclass(frozen=True, slots=True)
class CronTick:
    """A firing: which schedule, the time that it was due, in the schedule's time zone."""

    name: str
    """Name of the `@bot.cron` function."""
    at: datetime
    event: Event
    chat_id: str = ""
    """The chat that `schedules:` in config.yaml names, if it does."""

    @classmethod
    def of(cls, event: Event) -> CronTick:
        """Read a firing from the hub's own event."""
        try:
            zone: tzinfo = time_zone(string(event.body, "tz"))
        except ValueError:
            zone = UTC
        at = datetime.fromtimestamp(event.created or 0.0, zone)
        return cls(name=string(event.body, "name"), at=at, event=event, chat_id=event.chat_id)


def time_zone(name: str) -> ZoneInfo:
    """The time zone of that name; ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}; write one like Asia/Shanghai") from None


def cron_event(bot_id: str, app_id: str, name: str, at: float, *, tz: str, chat_id: str = "") -> Event:
    """The event of a firing due `at` (seconds since the epoch); its id is the same wherever it is made."""
    return Event(
        id=f"cron:{bot_id}:{name}:{int(at)}",
        type=CRON_TYPE,
        schema="2.0",
        app_id=app_id,
        tenant_key="",
        created=at,
        chat_id=chat_id,
        user_id="",
        message_id="",
        thread_id="",
        body={"name": name, "tz": tz},
    )
