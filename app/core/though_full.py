"""One small write that a full Redis takes too: without it what lies there would not be ended, and never make room."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from app.core.lua import Script
from app.core.redis import AnyRedis
from app.core.wire import Arg

_WRITE: Final = Script(Path(__file__).parent / "though_full.lua")


async def though_full(redis: AnyRedis, command: str, key: str, *args: Arg) -> Any:
    """The command's reply, as Redis has it; StoreUnavailable without Redis."""
    return await _WRITE(redis, [key], [command, *args])
