"""What stands before a bot's first event: its handlers, its settings, its start hooks."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, field_validator

from app.core.errors import FeishuRefused
from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.message import Message
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import echo, message, spec
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_mail_of_a_bot_without_handlers_waits_and_comes_when_it_has_them(site: Site) -> None:
    site.bots.change(spec())
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    with pytest.raises(TimeoutError):
        await until(site.done, timeout=0.5)
    site.add(echo())
    await until(site.done)
    assert len(site.mouth.said) == 1


async def test_start_hooks_run_before_the_first_event_and_once(site: Site) -> None:
    bot, order = Bot(), []

    @bot.on_start
    async def start(ctx: Context) -> None:
        order.append("start")

    @bot.message()
    async def say(message: Message, ctx: Context) -> None:
        order.append(message.text)

    site.add(bot)
    await site.accept(message(1, "a", site.cipher), message(2, "b", site.cipher))
    await site.worker()
    await until(site.done)
    assert order == ["start", "a", "b"]


async def test_a_failing_start_hook_counts_as_a_failure_of_the_event(site: Site) -> None:
    bot, starts = Bot(), []

    @bot.on_start
    async def start(ctx: Context) -> None:
        starts.append(1)
        if len(starts) <= 2:
            raise FeishuRefused("a private word")

    @bot.message()
    async def say(message: Message, ctx: Context) -> str:
        return message.text

    site.add(bot, message={"retry_policy": {"max_attempts": 2, "backoff": "1ms"}})
    await site.accept(message(1, "a", site.cipher), message(2, "b", site.cipher))
    await site.worker()
    await until(site.swept)
    (letter,) = await site.letters()
    assert letter.reason == "attempts used up: the handler failed"
    assert letter.detail.startswith("on_start failed: FeishuRefused")
    assert "private" not in letter.detail
    told = [(said["bot"], said["fault"].partition(" at ")[0]) for said in site.told if said["say"] == "start"]
    assert told == [("echo", "on_start failed: FeishuRefused")] * 2 + [("echo", "")]
    assert "private" not in str(site.told)
    assert [text for _, _, text in site.mouth.said] == ["b"]


async def test_settings_that_break_their_own_check_keep_only_their_bot_waiting(site: Site) -> None:
    class Settings(BaseModel):
        limit: int

        @field_validator("limit")
        @classmethod
        def check(cls, value: int) -> int:
            raise KeyError("a careless author's")

    site.add(Bot(Settings), spec("broken", settings={"limit": 1}))
    site.add(echo())
    await site.worker()
    cipher = await site.keyring.cipher("broken")
    await site.accept(message(1, "x", cipher, bot="broken", chat="oc_2"), message(2, "hello", site.cipher))
    await until(lambda: site.mouth.said == [("echo", "om_in_2", "hello")])
    await site.accept(message(3, "again", site.cipher))
    await until(site.done)
    assert not await site.done("broken")
