"""A bot that does to its process what no bot should, when it is told to."""

from __future__ import annotations

import os
import time

from app.sdk import Bot, Context, Message

bot = Bot()


@bot.message()
async def rogue(message: Message, ctx: Context) -> None:
    """`block` holds the loop for ten seconds, `exit` ends the process; all else does nothing."""
    if " block " in message.text:
        time.sleep(10)  # noqa: ASYNC251 - it is what the bench is about
    elif " exit " in message.text:
        os._exit(3)
