"""Notes when it was called with each event, in memory that it shares with the load generator."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel

from app.sdk import Bot, Context, Message
from bench.events import numbered
from bench.marks import Marks


class Settings(BaseModel):
    """Where the marks are."""

    marks: Path


bot = Bot(Settings)
_marks = lru_cache(Marks)


@bot.message()
async def mark(message: Message, ctx: Context[Settings]) -> None:
    """Note the instant."""
    _marks(ctx.settings.marks).handled[numbered(message.text)] = time.monotonic()
