"""One firing of a schedule, or of a reminder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from app.model.event import Event
from app.model.schedule import time_zone
from app.sdk.body import mapping, string
from app.sdk.content import Content
from app.sdk.kept_content import content_of

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
    """The chat that `schedules:` in config.yaml names, if it does; of a reminder the one it was made in."""
    data: Any = None
    """What `ctx.later` was given."""
    content: Content | None = None
    """Something that is only to be said, without a handler."""

    @classmethod
    def of(cls, event: Event) -> CronTick:
        """Read a firing from the hub's own event."""
        body = event.body
        try:
            zone: tzinfo = time_zone(string(body, "tz"))
        except ValueError:
            zone = UTC
        at = datetime.fromtimestamp(event.created or 0.0, zone)
        said = mapping(body, "say")
        return cls(
            name=string(body, "name"),
            at=at,
            event=event,
            chat_id=event.chat_id,
            data=body.get("data"),
            content=content_of(said) if said else None,
        )


def cron_event(
    bot_id: str,
    app_id: str,
    name: str,
    at: float,
    *,
    tz: str,
    id: str = "",
    chat_id: str = "",
    user_id: str = "",
    more: Mapping[str, Any] | None = None,
) -> Event:
    """The event of a firing due `at` (seconds since the epoch); without an `id` it is named after that time.

    `more` is for reminders: `data` for their handler, or what to `say`.
    """
    return Event(
        id=id or f"cron:{bot_id}:{name}:{round(at)}",
        type=CRON_TYPE,
        schema="2.0",
        app_id=app_id,
        tenant_key="",
        created=at,
        chat_id=chat_id,
        user_id=user_id,
        message_id="",
        thread_id="",
        body={"name": name, "tz": tz, "chat_id": chat_id, "open_id": user_id, **(more or {})},
    )


def cron_document(event: Event) -> dict[str, Any]:
    """The event as a gateway would have received it."""
    header = {
        "event_id": event.id,
        "event_type": event.type,
        "create_time": str(int(event.created or 0.0)),
        "app_id": event.app_id,
    }
    return {"schema": "2.0", "header": header, "event": event.body}
