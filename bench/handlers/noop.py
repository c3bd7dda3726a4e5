"""Takes every message and does nothing."""

from __future__ import annotations

from app.sdk import Bot, Context, Message

bot = Bot()


@bot.message()
async def nothing(message: Message, ctx: Context) -> None:
    """Nothing."""
