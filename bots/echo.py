"""Answers "ping" and repeats what is said to it: the smallest bot that shows that everything works."""

from __future__ import annotations

from app.sdk import Bot, Context, Message, plain, to_me

bot = Bot()


@bot.command("ping", help="/ping  看看我在不在 · Are you there?")
async def ping(message: Message, ctx: Context) -> str:
    """Show that the way there and back is open."""
    return "pong"


@bot.message(to_me)
async def echo(message: Message, ctx: Context) -> str:
    """Repeat texts; name what is none."""
    if not message.text:
        return f"收到一条 {message.type} 消息 · Received: {message.type}"
    return plain(message.text)
