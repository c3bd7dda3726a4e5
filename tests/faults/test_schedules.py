"""A scheduler dies at the second of a firing, beside another whose clock is 2 s off: each firing happens once."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from app.core.failpoint import FireStep
from tests.faults.redis_server import ExternalRedis
from tests.servers import needed
from tests.system.world import Site, text_of
from tests.waiting import until

pytestmark = pytest.mark.faults

# Six fields: the first is of seconds.
CODE = '''
"""Says every two seconds what time it was due."""
from app.sdk import Bot, Context, CronTick, Message

bot = Bot()


@bot.cron("*/2 * * * * *", tz="UTC")
async def tick(tick: CronTick, ctx: Context) -> None:
    chat = await ctx.state.bot.get("chat")
    if chat:
        await ctx.send(chat, f"{tick.at.timestamp():.0f}")


@bot.message()
async def here(message: Message, ctx: Context) -> str:
    await ctx.state.bot.set("chat", message.chat_id)
    return "here"
'''
_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


def shifted(by: str) -> dict[str, str]:
    """The environment of a process whose wall clock is off."""
    needed("faketime")
    if not _LIBRARY.exists():
        [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    else:
        library = _LIBRARY
    return {"LD_PRELOAD": str(library), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.parametrize("step", get_args(FireStep))
async def test_a_firing_happens_once(site: Site, step: FireStep) -> None:
    site.handler("ticker", CODE)
    site.bot("clock", handler="ticker")
    died = site.root / "died"
    async with ExternalRedis() as redis:
        site.settings(redis={"url": redis.url})
        master = {"HUB_MASTER_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
        steady = site.hub("steady", env=master | shifted("+1s"))
        dying = site.hub("dying", env=master | shifted("-1s") | {"HUB_FAILPOINT": f"{step}:{died}"})
        await steady.start()
        site.point_at(steady)
        assert await site.asks("clock", "here I am") == "here"
        chat = site.chat("clock")

        def told() -> list[int]:
            texts = (text_of(one) for one in chat.messages if one.by_app)
            return [int(text) for text in texts if text.isdecimal()]

        await until(lambda: len(told()) >= 2)
        await dying.start(ready=False)
        assert await dying.ended() == -9
        assert died.exists()
        count = len(told())
        await until(lambda: len(told()) >= count + 3)
        times = told()
        assert times == list(range(times[0], times[-1] + 1, 2)), "once each, and none is left out"
