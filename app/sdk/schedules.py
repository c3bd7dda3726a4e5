"""What each schedule of a bot starts: those in its code, overridden by those in its directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.model.schedule import BotSchedule, Schedule
from app.sdk.bot import Bot
from app.sdk.card import Card
from app.sdk.content import Content
from app.sdk.context import Context
from app.sdk.cron_tick import CronTick
from app.sdk.handler import Found, Handler


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A schedule, and the handler that it starts or what it says."""

    schedule: Schedule
    handler: str
    content: Content | None = None


def scheduled(bot: Bot[Any], of_directory: Sequence[BotSchedule]) -> dict[str, Scheduled]:
    """Every schedule by its name; one of the directory takes the place of the code's of that name."""
    found: dict[str, Scheduled] = {}
    for handler in bot.crons:
        if handler.expr:
            name, number = handler.name, 1
            while name in found:  # a function with two schedules
                number += 1
                name = f"{handler.name}-{number}"
            found[name] = Scheduled(Schedule(name, handler.expr, handler.tz, handler.missed), handler.name)
    for one in of_directory:
        content = Card.raw(one.message) if isinstance(one.message, dict) else one.message
        found[one.name] = Scheduled(one.schedule, one.handler or one.name, content)
    return found


def unknown_handlers(bot: Bot[Any], of_directory: Sequence[BotSchedule]) -> Iterator[tuple[int, str]]:
    """Schedules in the directory that start a handler the bot does not have: their place, and what is wrong."""
    known = sorted({handler.name for handler in bot.crons})
    for place, one in enumerate(of_directory):
        if one.message is None and (name := one.handler or one.name) not in known:
            yield place, f"there is no @bot.cron function {name}; the handler has: {', '.join(known) or 'none'}"


def started(bot: Bot[Any], tick: CronTick, by_name: Mapping[str, Scheduled]) -> Found | None:
    """What a firing starts; None if the bot has no such function, or no longer has it."""
    known = by_name.get(tick.name)
    if known is not None:
        tick = replace(tick, name=known.handler, content=known.content)
    if tick.content is not None:
        return Found(_SAY, tick)
    for handler in bot.crons:
        if handler.name == tick.name:
            return Found(handler, tick)
    return None


async def _say(tick: CronTick, ctx: Context[Any]) -> None:
    # By the outbox: a hundred chats' good morning at nine must not keep those waiting who ask something.
    if tick.content is not None:
        await ctx.send(tick.chat_id or tick.event.user_id, tick.content, later=True)


_SAY = Handler("cron", "message", _say, True)
