"""A worker dies while its bot types: the next one goes on with the same card, and the card has all of the text."""

from __future__ import annotations

import json

import pytest

from tests.system.world import Site
from tests.waiting import until

pytestmark = pytest.mark.faults

TYPIST = '''
"""Types one word after the other; at two of them it waits for its end, the first time that it comes there."""
import asyncio
from pathlib import Path

from app.sdk import Bot, Context, Message

bot = Bot()


@bot.message()
async def answer(message: Message, ctx: Context) -> None:
    async with ctx.stream(title="Answer") as card:
        for number in range(60):
            await card.write(f"word{{number}} ")
            await asyncio.sleep(0.03)  # as people read: some of it is shown before the rest is written
            been = Path({root!r}) / f"been-at-{{number}}"
            if number in (5, 20) and not been.exists():
                been.touch()
                await asyncio.Event().wait()
    await ctx.reply("that is all")
'''
WHOLE = "".join(f"word{number} " for number in range(60))


@pytest.mark.parametrize("cardkit", [True, False], ids=["typing", "editing"])
async def test_worker_dies_in_the_middle_of_a_card(site: Site, cardkit: bool) -> None:
    site.handler("typist", TYPIST.format(root=str(site.root)))
    app = site.bot("typist", handler="typist")
    if not cardkit:
        site.playground.faults.add("code", code=99991672, status=400, api="cardkit.v1.card.create", times=100)
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    said = await site.says("typist", "go")
    messages = site.playground.ledger.messages

    for word in ("word5 ", "word20 "):
        await until(lambda: messages(app=app.app_id) and word in messages(app=app.app_id)[0].content)  # noqa: B023
        for worker in hub.children()["worker"]:  # on a busy machine a successor waits beside it
            worker.kill()

    await until(lambda: len(messages(app=app.app_id)) > 1)
    await until(hub.is_idle)
    card, last = messages(app=app.app_id)
    assert card.parent == last.parent == said.message_id
    document = json.loads(card.content)
    assert document["body"]["elements"][0]["content"] == WHOLE
    assert not document["config"].get("streaming_mode")
    assert "that is all" in last.content
    assert not site.playground.ledger.violations()
