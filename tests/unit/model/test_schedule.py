"""When schedules are due, over daylight saving too; and what config.yaml may say of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from app.model.bot import BotConfig
from app.model.schedule import Schedule

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str, fold: int = 0) -> float:
    """Local time of New York, in seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK, fold=fold).timestamp()


def shown(cron: str, start: float, end: float) -> list[str]:
    """Every time that is due after `start`, up to `end`, as UTC and New York show it."""
    schedule, found = Schedule("x", cron, "America/New_York"), []
    now = start
    while (due := schedule.next_after(now)) is not None and due <= end:
        found.append(datetime.fromtimestamp(due, NEW_YORK).isoformat(timespec="minutes"))
        now = due
    return found


def test_a_time_that_the_clock_skips_is_due_once_after_the_gap() -> None:
    due = shown("30 2 * * *", at("2026-03-07T12:00"), at("2026-03-09T12:00"))
    assert due == ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]


def test_a_time_that_the_clock_shows_twice_is_due_once() -> None:
    due = shown("30 1 * * *", at("2026-10-31T12:00"), at("2026-11-02T12:00"))
    assert due == ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]


@pytest.mark.parametrize("minute", [10, 30, 50])
def test_who_looks_in_the_second_of_two_hours_finds_nothing_of_the_first(minute: int) -> None:
    now = at(f"2026-11-01T01:{minute}", fold=1)
    assert Schedule("x", "30 1 * * *", "America/New_York").next_after(now) == at("2026-11-02T01:30")


def test_what_is_due_by_the_hour_is_due_in_both_hours() -> None:
    due = shown("0 * * * *", at("2026-11-01T00:30"), at("2026-11-01T02:30"))
    assert due == ["2026-11-01T01:00-04:00", "2026-11-01T01:00-05:00", "2026-11-01T02:00-05:00"]


@given(
    some.integers(int(at("2024-01-01T00:00")), int(at("2030-01-01T00:00"))),
    some.sampled_from(["30 2 * * *", "30 1 * * *", "*/7 * * * *", "0 9 * * 1-5", "0 0 1 * *", "15 */3 * * *"]),
    some.sampled_from(["America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]),
)
def test_times_go_forward_and_the_last_one_is_found_again(now: int, cron: str, zone: str) -> None:
    schedule = Schedule("x", cron, zone)
    due = schedule.next_after(now)
    assert due is not None
    assert due > now
    following = schedule.next_after(due)
    assert following is not None
    assert following > due
    for until in (due, due + 1, following - 1):
        assert schedule.last_until(until) == due


def test_a_schedule_comes_back_from_redis_as_it_was() -> None:
    schedule = Schedule("x", "0 9 * * *", "Asia/Shanghai", "once", "oc_1")
    assert Schedule.unpacked("x", schedule.packed()) == schedule


MORNING: dict[str, Any] = {"name": "morning", "cron": "0 9 * * *"}


@pytest.mark.parametrize(
    ("schedules", "wrong"),
    [
        ([{**MORNING, "cron": "0 25 * * *"}], "hour"),
        ([{**MORNING, "cron": "0 0 30 2 *"}], "day"),
        ([{**MORNING, "cron": "often"}], "minute hour day month weekday"),
        ([{**MORNING, "tz": "Europe/Nowhere"}], "no time zone"),
        ([{**MORNING, "missed": "twice"}], "skip"),
        ([{**MORNING, "message": "hi"}], "names? its chat|name its chat"),
        ([{**MORNING, "message": "hi", "chat": "oc_1", "handler": "x"}], "one of them"),
        ([{**MORNING, "chat": "ou_1"}], "oc_"),
        ([{**MORNING, "name": "a b"}], "name"),
        ([MORNING, MORNING], "two schedules"),
        ([{**MORNING, "color": "red"}], "color"),
    ],
    ids=str,
)
def test_a_schedule_that_cannot_be_is_refused(schedules: list[dict[str, Any]], wrong: str) -> None:
    with pytest.raises(ValidationError, match=f"(?i){wrong}"):
        BotConfig.model_validate({"handler": "echo", "schedules": schedules})


def test_a_schedule_says_something_to_a_chat_or_starts_a_handler() -> None:
    given = [{**MORNING, "message": "hi", "chat": "oc_1"}, {**MORNING, "name": "x", "handler": "morning"}]
    said, started = BotConfig.model_validate({"handler": "echo", "schedules": given}).schedules
    assert said.schedule == Schedule("morning", "0 9 * * *", "Asia/Shanghai", "skip", "oc_1")
    assert (said.message, started.handler, started.chat) == ("hi", "morning", "")
