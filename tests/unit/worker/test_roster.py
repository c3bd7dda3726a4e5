"""The bots of a worker: what a broken change leaves in force."""

from __future__ import annotations

from pydantic import BaseModel

from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.message import Message
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import message, spec
from tests.waiting import until


class Word(BaseModel):
    word: str = "one"


async def test_settings_that_do_not_fit_leave_the_last_good_ones_in_force(site: Site) -> None:
    bot = Bot(Word)

    @bot.message()
    async def say(message: Message, ctx: Context[Word]) -> str:
        return ctx.settings.word

    site.add(bot)
    await site.worker()
    await site.accept(message(1, "?", site.cipher))
    await until(site.done)
    site.bots.change(spec(revision="2", settings={"word": ["no", "text"]}))
    await site.accept(message(2, "?", site.cipher))
    await until(site.done)
    site.bots.change(spec(revision="3", settings={"word": "three"}))
    await site.accept(message(3, "?", site.cipher))
    await until(site.done)
    assert [text for _, _, text in site.mouth.said] == ["one", "one", "three"]
