"""Has Redis rewrite its files, so that nothing deleted remains in them."""

from __future__ import annotations

from typing import Final

from redis.exceptions import NoPermissionError, ResponseError

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.outage import guard, unavailable
from app.core.redis import RedisLink
from app.core.redis_nodes import ask, said

_LOOK_EVERY: Final = 0.05
_PATIENCE: Final = 600.0
_BUSY: Final = frozenset({"aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress"})


async def rewrite_files(link: RedisLink, *, clock: Clock = SYSTEM_CLOCK) -> list[str]:
    """Rewrite the append-only file, and the dump where Redis makes one; returns a sentence for each that failed."""
    notes: list[str] = []
    try:
        with guard():
            info = await ask(link, "INFO", "persistence")
            saves = await ask(link, "CONFIG GET", "save")
        if any(one.get("aof_enabled") for one in info):
            await _write(link, "BGREWRITEAOF", "aof_last_bgrewrite_status", clock)
        if any(said(one.get("save", one.get(b"save", ""))) for one in saves):
            await _write(link, "BGSAVE", "rdb_last_bgsave_status", clock)
    except (NoPermissionError, ResponseError) as error:
        if unavailable(error) is not None and not isinstance(error, NoPermissionError):
            raise
        notes.append(
            "Redis did not let itself be told to rewrite its files: have them rewritten (BGREWRITEAOF, BGSAVE)"
        )
    return notes


async def write_dump(link: RedisLink, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Have Redis write all it holds at one instant to its dump file."""
    await _write(link, "BGSAVE", "rdb_last_bgsave_status", clock)


async def until_idle(link: RedisLink, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """Wait until Redis writes no file in the background; StoreUnavailable when it does for ten minutes."""
    deadline = clock.monotonic() + _PATIENCE
    while True:
        with guard():
            info = await ask(link, "INFO", "persistence")
        if not any(one.get(name) for one in info for name in _BUSY):
            return
        if clock.monotonic() > deadline:
            raise StoreUnavailable("Redis has been writing a file in the background for ten minutes: see its log")
        await clock.sleep(_LOOK_EVERY)


async def _write(link: RedisLink, command: str, verdict: str, clock: Clock) -> None:
    # A rewrite that is under way began before the deletion: wait for it, then start another.
    await until_idle(link, clock=clock)
    with guard():
        await ask(link, command)
    await until_idle(link, clock=clock)
    with guard():
        info = await ask(link, "INFO", "persistence")
    if any(said(one.get(verdict, "ok")) != "ok" for one in info):
        raise StoreUnavailable(
            f"Redis could not write its file anew ({command}): see its log, and the room on its disk"
        )
