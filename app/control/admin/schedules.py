"""Schedules in the admin API: listed, run at once, paused and resumed; reminders dropped."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from app.control.admin.shapes import Done
from app.control.scheduler.firing import Firing
from app.model.catalog import Catalog
from app.queue.timetable import Planned, Timetable


class ScheduleShown(BaseModel):
    """A schedule, or a reminder of `ctx.later`, which has no cron expression."""

    name: str
    next: float | None
    """Seconds since the epoch; null while it is paused."""
    paused: bool
    cron: str | None = None
    tz: str | None = None
    missed: str | None = None
    chat: str | None = None

    @classmethod
    def of(cls, found: Planned) -> ScheduleShown:
        schedule = found.schedule
        shown = cls(name=found.name, next=None if found.paused else found.due, paused=found.paused)
        if schedule is None:
            return shown
        more = {"cron": schedule.cron, "tz": schedule.tz, "missed": schedule.missed, "chat": schedule.chat or None}
        return shown.model_copy(update=more)


def schedules_router(timetable: Timetable, firing: Firing, catalog: Catalog) -> APIRouter:
    """The routes under /bots/{bot}/schedules."""
    api = APIRouter(prefix="/bots/{bot}/schedules")

    async def done(found: bool, bot: str, name: str) -> Done:
        if not found:
            raise HTTPException(404, await timetable.mistaken(bot, name))
        return Done()

    @api.get("", response_model=list[ScheduleShown])
    async def list_schedules(bot: str) -> list[ScheduleShown]:
        """When each schedule and reminder is due, the next one first."""
        return [ScheduleShown.of(found) for found in await timetable.all(bot)]

    @api.post("/{name}/run", response_model=Done)
    async def run_schedule(bot: str, name: str) -> Done:
        """Fire it now, beside its time."""
        spec = catalog.bots.get(bot)
        return await done(spec is not None and await firing.run_now(spec, name), bot, name)

    @api.post("/{name}/pause", response_model=Done)
    async def pause_schedule(bot: str, name: str) -> Done:
        """Let it not be due until it is resumed."""
        return await done(await timetable.pause(bot, name), bot, name)

    @api.post("/{name}/resume", response_model=Done)
    async def resume_schedule(bot: str, name: str) -> Done:
        """Let it be due again; what it missed is not made up for."""
        return await done(await timetable.resume(bot, name), bot, name)

    @api.delete("/{name}", response_model=Done)
    async def drop_reminder(bot: str, name: str) -> Done:
        """Let a reminder of `ctx.later` never be due; a schedule can be paused."""
        return await done(await timetable.drop(bot, name), bot, name)

    return api
