"""A small write that even a full Redis takes: without it what lies there could not be ended, to make room."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from app.core.lua import Script
from app.core.redis import AnyRedis
from app.core.wire import Arg

_WRITE: Final = Script(Path(__file__).parent / "though_full.lua")


async def though_full(redis: AnyRedis, command: str, key: str, *args: Arg) -> Any:
    """The command's plain reply; raises StoreUnavailable."""
    return await _WRITE(redis, [key], [command, *args])
