"""When something is due again and again: a cron expression in a time zone, daylight saving included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from app.core.shape import Frozen

Missed = Literal["skip", "once"]
"""What becomes of firings that an outage swallowed: nothing, or one for all of them."""

TIME_ZONE = "Asia/Shanghai"
"""For schedules that name none."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule of a bot, as the scheduler knows it; what it starts, the bot's handler and config say."""

    name: str
    cron: str
    tz: str
    missed: Missed = "skip"
    chat: str = ""

    def next_after(self, after: float) -> float | None:
        """The first time that is due later than `after`; both in seconds since the epoch.

        A local time that the clock skips is due at the first instant after the gap, one that it shows twice the first
        time (expressions with `*` hours are due by the hour, whatever the clock shows).
        """
        moment = datetime.fromtimestamp(after, ZoneInfo(self.tz))
        # In the second of two equal hours the library begins with a time of the first.
        times = (one.timestamp() for one in CronSim(self.cron, moment))
        return next((due for due in times if due > after), None)

    def last_until(self, until: float) -> float | None:
        """The last time that was due by `until`."""
        # The library looks back from before its moment, to the minute.
        moment = datetime.fromtimestamp(until + 60, ZoneInfo(self.tz))
        return next(
            (due for one in CronSim(self.cron, moment, reverse=True) if (due := one.timestamp()) <= until), None
        )

    def packed(self) -> bytes:
        """As it stands in Redis, all but the name."""
        return orjson.dumps((self.cron, self.tz, self.missed, self.chat))

    @classmethod
    def unpacked(cls, name: str, packed: bytes) -> Schedule:
        """Read it back."""
        return cls(name, *orjson.loads(packed))


def time_zone(name: str) -> ZoneInfo:
    """The time zone of that name; ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}; write one like Asia/Shanghai") from None


def check_cron(expr: str) -> str:
    """The expression itself, if it is valid; else ValueError says what is wrong with it."""
    try:
        CronSim(expr, datetime(2024, 1, 1))  # noqa: DTZ001 - any moment will do
    except CronSimError as error:
        raise ValueError(f"{error}; write minute hour day month weekday") from None
    return expr


def _zone(name: str) -> str:
    return time_zone(name).key


class BotSchedule(Frozen):
    """One of `schedules`: a handler to start, or a message for a chat."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="what commands call it")
    cron: Annotated[str, AfterValidator(check_cron)] = Field(description="minute hour day month weekday")
    tz: Annotated[str, AfterValidator(_zone)] = Field(TIME_ZONE, description="time zone of the five fields")
    handler: str | None = Field(None, description="an `@bot.cron` function of the bot; null: of that name")
    chat: str = Field("", pattern="^(oc_.*)?$", description="chat that the message is for, or that the handler is told")
    message: str | dict[str, Any] | None = Field(None, repr=False, description="a text, or a card's JSON")
    missed: Missed = Field("skip", description="firings missed in an outage: skip them, or make up for them once")

    @model_validator(mode="after")
    def _one_thing(self) -> BotSchedule:
        if self.message is not None and self.handler is not None:
            raise ValueError("a handler and a message: write one of them")
        if self.message is not None and not self.chat:
            raise ValueError("a message for nobody: name its chat (oc_…)")
        return self

    @property
    def schedule(self) -> Schedule:
        """When it is due."""
        return Schedule(self.name, self.cron, self.tz, self.missed, self.chat)


def each_once(schedules: tuple[BotSchedule, ...]) -> tuple[BotSchedule, ...]:
    """The schedules of a bot, if their names differ; else ValueError."""
    names = [one.name for one in schedules]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two schedules have one name: {', '.join(sorted(twice))}")
    return schedules
