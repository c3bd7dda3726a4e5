"""What is due when: the schedules of bots and their reminders, in Redis, by Redis' own time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.keys import Keys
from app.core.lua import Script
from app.core.outage import guard, unavailable
from app.core.redis import RedisLink
from app.core.wire import Arg
from app.model.schedule import Schedule
from app.queue.envelope import Entry
from app.queue.work import Work, unless_lost

_HERE = Path(__file__).parent
_CLAIM = Script(_HERE / "timer_claim.lua")
_DUE = Script(_HERE / "timer_due.lua")
_FREE = Script(_HERE / "timer_free.lua")
_SETTLE = Script(_HERE / "timer_settle.lua")
_PLAN = Script(_HERE / "timer_plan.lua")
_REMIND = Script(_HERE / "remind.lua")

PAUSED: Final = float("inf")
# Bots whose timers one node takes at once, and for how long they are its own: another takes over from one that died.
_BOTS: Final = 64
_CLAIM_MS: Final = 2000
_SCHEDULE: Final = "s:"
_REMINDER: Final = "r:"


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer that is due: a schedule, a reminder, or neither if what it was for is gone."""

    member: str
    due: float
    """Seconds since the epoch."""
    schedule: Schedule | None = None
    reminder: Entry | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A schedule or reminder with its time."""

    name: str
    due: float
    """Seconds since the epoch; infinite for one that is paused."""
    schedule: Schedule | None

    @property
    def paused(self) -> bool:
        return self.due == PAUSED


@dataclass(frozen=True, slots=True)
class Turn:
    """Bots with due timers that are the caller's now."""

    now: float
    until: float
    """When the turn ends by itself, so that another node takes over from one that died; in ms."""
    first: float | None
    """When the next bot of all has something due, in seconds since the epoch; None for none."""
    bots: tuple[str, ...]


class Timetable:
    """The timers of all bots; every call raises StoreUnavailable without Redis."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._redis = link.commands
        self._keys = keys

    # -- firing ----------------------------------------------------------------------------------------------

    async def claim(self) -> Turn:
        """Take the bots that have something due."""
        now, until, first, *bots = await _CLAIM(self._redis, [self._keys.timers], [_BOTS, _CLAIM_MS])
        return Turn(now / 1000, until, _seconds(first), tuple(bot.decode() for bot in bots))

    async def free(self, turn: Turn, bot: str, *, not_before: float = 0.0) -> None:
        """End the turn; the bot's next is when its next timer is due, but not before `not_before`.

        The bot leaves the index first: a timer that comes between is seen by the look that follows, or notes itself.
        """
        await _FREE(self._redis, [self._keys.timers], [bot, turn.until])
        await self.mend([bot], not_before=not_before)

    async def due(self, bot: str, limit: int) -> tuple[float, list[Timer]]:
        """The time, and a bot's timers that are due, the oldest first."""
        now, *parts = await _DUE(self._redis, [self._keys.root(bot)], [limit])
        timers = []
        for member, score, kept in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            name, due = member.decode(), float(score) / 1000
            if not kept:
                timers.append(Timer(name, due))
            elif name.startswith(_SCHEDULE):
                timers.append(Timer(name, due, schedule=Schedule.unpacked(name[2:], kept)))
            else:
                packed, _, sealed = kept.partition(b"\n")
                timers.append(Timer(name, due, reminder=Entry.unpacked(packed, sealed)))
        return now / 1000, timers

    async def settle(self, bot: str, *steps: tuple[Timer, float | None]) -> int:
        """Move timers that were seen to when they are due next (None: never again); how many were still as seen."""
        args: list[str] = []
        for timer, due in steps:
            args += (timer.member, _score(timer.due), "" if due is None else _score(due))
        return int(await _SETTLE(self._redis, [self._keys.root(bot)], args)) if args else 0

    # -- what there is ---------------------------------------------------------------------------------------

    async def plan(self, bot: str, schedules: Sequence[Schedule]) -> None:
        """Make these the schedules of a bot; those already there keep the time at which they are due next."""
        with guard():
            known: Any = await self._redis.hgetall(self._keys.bot(bot, "schedules"))
        wanted = {one.name.encode(): one.packed() for one in schedules}
        if known == wanted:
            return
        now = await self.now(bot)
        args: list[str | bytes] = []
        for one in schedules:
            name, packed = one.name.encode(), wanted[one.name.encode()]
            due = one.next_after(now) if known.get(name) != packed else now
            # A date that never comes, such as 30 February, is none.
            args += (name, packed, _score(PAUSED if due is None else due))
        await _PLAN(self._redis, [self._keys.root(bot)], args)
        await self.mend([bot])

    async def forgotten(self, bots: Sequence[str]) -> list[str]:
        """The bots for which no schedule is known."""
        if not bots:
            return []
        with guard():
            pipe = self._redis.pipeline(transaction=False)
            for bot in bots:
                pipe.exists(self._keys.bot(bot, "schedules"))
            return [bot for bot, known in zip(bots, await pipe.execute(), strict=True) if not known]

    async def all(self, bot: str) -> list[Planned]:
        """A bot's schedules and reminders, the next one first."""
        with guard():
            schedules: Any = await self._redis.hgetall(self._keys.bot(bot, "schedules"))
            timers: Any = await self._redis.zrange(self._keys.bot(bot, "timers"), 0, -1, withscores=True)
        found = []
        for member, score in timers:
            name = member.decode()
            kept = schedules.get(member[2:]) if name.startswith(_SCHEDULE) else None
            schedule = Schedule.unpacked(name[2:], kept) if kept else None
            if schedule is not None or name.startswith(_REMINDER):
                found.append(Planned(name[2:], score / 1000, schedule))
        return found

    async def show(self, bot: str, name: str) -> Schedule | None:
        """A bot's schedule of that name."""
        with guard():
            kept: Any = await self._redis.hget(self._keys.bot(bot, "schedules"), name)
        return None if kept is None else Schedule.unpacked(name, kept)

    async def pause(self, bot: str, name: str) -> bool:
        """Let a schedule not be due any more; False where there is none of that name."""
        with guard():
            found = await self._redis.hexists(self._keys.bot(bot, "schedules"), name)
            if found:
                await self._redis.zadd(self._keys.bot(bot, "timers"), {_SCHEDULE + name: PAUSED}, xx=True)
        return bool(found)

    async def resume(self, bot: str, name: str) -> bool:
        """Let a paused schedule be due again, from now on; False where there is none of that name."""
        schedule = await self.show(bot, name)
        if schedule is not None:
            due = schedule.next_after(await self.now(bot))
            await self.settle(bot, (Timer(_SCHEDULE + name, PAUSED), PAUSED if due is None else due))
            await self.mend([bot])
        return schedule is not None

    async def drop(self, bot: str, name: str) -> bool:
        """Drop a reminder; False where there is none of that name, or no longer."""
        with guard():
            due: Any = await self._redis.zscore(self._keys.bot(bot, "timers"), _REMINDER + name)
        return due is not None and await self.settle(bot, (Timer(_REMINDER + name, due / 1000), None)) == 1

    async def mistaken(self, bot: str, name: str) -> str:
        """Why nothing could be done to a schedule or reminder of that name, for people."""
        with guard():
            if await self._redis.zscore(self._keys.bot(bot, "timers"), _REMINDER + name) is not None:
                return f"{name} of bot {bot} is a reminder, not a schedule: it can be dropped, nothing else"
        if await self.show(bot, name) is not None:
            return (
                f"{name} of bot {bot} is a schedule, not a reminder: it can be paused, and goes with what declares it"
            )
        return f"bot {bot} has no schedule {name}, nor a reminder of that name"

    async def remind(self, work: Work, entry: Entry, reminder: str, delay: float) -> None:
        """Keep an event until it is due, in `delay` seconds; once, however often it is asked for. Raises Fenced."""
        kept = entry.packed() + b"\n" + entry.sealed
        args: list[Arg] = [work.conversation, work.claim, reminder, max(0, int(delay * 1000)), kept]
        due = await _REMIND(self._redis, [self._keys.root(work.bot)], args)
        await self._note({work.bot: float(unless_lost(work, due))})

    async def mend(self, bots: Sequence[str], *, not_before: float = 0.0) -> None:
        """Note again when each bot's next timer is due: a process that died may not have done so."""
        with guard():
            pipe = self._redis.pipeline(transaction=False)
            for bot in bots:
                pipe.zrange(self._keys.bot(bot, "timers"), 0, 0, withscores=True)
            firsts: Any = await pipe.execute(raise_on_error=False)
            found: dict[str, float] = {}
            for bot, first in zip(bots, firsts, strict=True):
                # One whose timers are damaged keeps no other from its time.
                if isinstance(first, Exception) and (unavailable(first) or len(bots) == 1):
                    raise first
                if first and not isinstance(first, Exception):
                    found[bot] = max(first[0][1], not_before * 1000)
        await self._note(found)

    async def now(self, bot: str) -> float:
        """Redis' time, in seconds since the epoch, where the bot's keys are."""
        now, *_ = await _DUE(self._redis, [self._keys.root(bot)], [0])
        return float(now) / 1000

    async def _note(self, firsts: Mapping[str, float]) -> None:
        """In a step of its own, since the index lies in another slot on Cluster; a time only comes earlier."""
        due = {bot: first for bot, first in firsts.items() if first != PAUSED}
        if due:
            with guard():
                await self._redis.zadd(self._keys.timers, due, lt=True)


def _score(due: float) -> str:
    return "inf" if due == PAUSED else str(round(due * 1000))


def _seconds(score: bytes) -> float | None:
    return float(score) / 1000 if score else None
