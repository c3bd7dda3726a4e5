"""Answers every message with its own text."""

from __future__ import annotations

from app.sdk import Bot, Context, Message

bot = Bot()


@bot.message()
async def repeat(message: Message, ctx: Context) -> str:
    """The text."""
    return message.text
