"""Events to their end: in order, once, retried, buried, set aside, handed back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import FeishuRefused
from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.feishu_event import FeishuEvent
from app.sdk.message import Message
from app.sdk.outcomes import Drop, Retry
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import echo, message, other
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_what_a_handler_returns_is_said_in_order_and_once(site: Site) -> None:
    site.add(echo())
    await site.accept(*(message(n, f"word {n}", site.cipher) for n in range(20)))
    await site.worker()
    await until(site.done)
    assert site.mouth.said == [("echo", f"om_in_{n}", f"word {n}") for n in range(20)]
    name = site.mouth.names[3]
    assert (name.event, name.replay, name.api, name.n) == ("om_in_3", 0, "im.message.reply", 1)


async def test_sends_to_a_target_are_counted_for_their_names(site: Site) -> None:
    bot = Bot()

    @bot.message()
    async def talk(message: Message, ctx: Context) -> str:
        await ctx.reply("one")
        await ctx.send("oc_9", "to another")
        await ctx.send("ou_9", "to a person")
        return "two"

    site.add(bot)
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    await until(site.done)
    assert [(name.api, name.target, name.n) for name in site.mouth.names] == [
        ("im.message.reply", "om_in_1", 1),
        ("im.message.create", "oc_9", 1),
        ("im.message.create", "ou_9", 1),
        ("im.message.reply", "om_in_1", 2),
    ]


async def test_a_failed_event_is_tried_again_answers_once_and_holds_up_only_its_conversation(
    site: Site,
) -> None:
    bot, tries = Bot(), []

    @bot.message()
    async def stumble(message: Message, ctx: Context) -> str | None:
        if message.text != "hard":
            return message.text
        tries.append(ctx.attempt)
        await ctx.reply("said before it failed")
        if ctx.attempt < 3:
            raise ValueError(message.text)
        return "done"

    site.add(bot, message={"retry_policy": {"max_attempts": 3, "backoff": "1ms"}})
    await site.accept(
        message(1, "hard", site.cipher),
        message(2, "behind", site.cipher),
        message(3, "elsewhere", site.cipher, chat="oc_2"),
    )
    await site.worker()
    await until(lambda: len(tries) == 1)
    await until(site.swept)
    assert tries == [1, 2, 3]
    texts = [text for _, _, text in site.mouth.said]
    assert [text for text in texts if text != "elsewhere"] == ["said before it failed", "done", "behind"]
    assert "elsewhere" in texts


async def test_what_keeps_failing_is_buried_with_where_and_without_words(site: Site) -> None:
    bot = Bot()

    @bot.message()
    async def fail(message: Message, ctx: Context) -> str:
        raise ValueError(message.text)

    site.add(bot, message={"retry_policy": {"max_attempts": 1}})
    await site.accept(message(1, "a private word", site.cipher))
    await site.worker()
    await until(site.done)
    (letter,) = await site.letters()
    assert "attempts used up" in letter.reason
    assert letter.detail.startswith("ValueError at tests.unit.worker.test_worker:")
    assert "private" not in letter.reason + letter.detail


async def test_what_feishu_will_never_take_is_buried_at_once(site: Site) -> None:
    bot, tries = Bot(), []

    @bot.message()
    async def fail(message: Message, ctx: Context) -> str:
        tries.append(ctx.attempt)
        raise FeishuRefused("no right to write here")

    site.add(bot)
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    await until(site.done)
    assert tries == [1]
    assert (await site.letters())[0].reason == "cannot succeed"


async def test_drop_and_an_event_that_nobody_takes_are_finished(site: Site) -> None:
    bot, seen = Bot(), []

    @bot.event("im.chat.disbanded_v1")
    async def drop(event: FeishuEvent, ctx: Context) -> None:
        seen.append(event.id)
        raise Drop("not ours")

    site.add(bot)
    await site.accept(other(1, "im.chat.disbanded_v1", site.cipher), other(2, "no.such.type", site.cipher))
    await site.worker()
    await until(site.done)
    assert seen == ["e1"]
    assert await site.letters() == []


async def test_a_long_wait_lets_the_conversation_go_on(site: Site) -> None:
    bot = Bot()

    @bot.message()
    async def wait(message: Message, ctx: Context) -> str:
        if message.text == "not now":
            raise Retry("5m")
        return message.text

    site.add(bot)
    await site.accept(message(1, "not now", site.cipher), message(2, "now", site.cipher))
    await site.worker()
    await until(lambda: site.mouth.said)
    assert site.mouth.said == [("echo", "om_in_2", "now")]

    async def one_waits() -> bool:
        return await site.mailbox.depth("echo") == 1

    await until(one_waits)  # what is said is finished a moment later


async def test_an_error_handler_speaks_for_the_handler(site: Site) -> None:
    bot = Bot()

    @bot.message()
    async def fail(message: Message, ctx: Context) -> str:
        raise KeyError("x")

    @bot.error(KeyError)
    async def sorry(error: KeyError, ctx: Context) -> str:
        return "sorry"

    site.add(bot)
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    await until(site.done)
    assert site.mouth.said == [("echo", "om_in_1", "sorry")]


async def test_a_plain_function_that_never_ends_keeps_no_retired_worker_alive(site: Site) -> None:
    bot, inside, leave = Bot(), threading.Event(), threading.Event()

    @bot.message()
    def hang(message: Message, ctx: Context) -> str:
        if ctx.attempt == 1:
            inside.set()
            leave.wait()
        return "said"

    site.add(bot, timeout="300ms", message={"retry_policy": {"backoff": "1ms"}})
    await site.accept(message(1, "x", site.cipher))
    await site.worker(drain_timeout=0.1)
    try:
        await until(inside.is_set)
        site.tell({"do": "retire"})
        await until(site.workers[0].done)
        await site.worker()
        await until(site.swept)
    finally:
        leave.set()
    assert [text for _, _, text in site.mouth.said] == ["said"]


async def test_a_handler_that_swallows_its_cancellation_keeps_no_retired_worker_alive(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.consumer._LOOK_EVERY", 0.02)
    monkeypatch.setattr("app.worker.worker._RELEASE_TIME", 0.1)
    bot, inside, leave = Bot(), asyncio.Event(), asyncio.Event()
    swallowed = 0

    @bot.message()
    async def hang(message: Message, ctx: Context) -> str:
        nonlocal swallowed
        inside.set()
        while not leave.is_set() and message.text == "x":
            try:
                await leave.wait()
            except asyncio.CancelledError:
                swallowed += 1
        return message.text

    site.add(bot, timeout="100ms")
    await site.accept(message(1, "x", site.cipher))
    await site.worker(drain_timeout=0.1)
    await until(inside.is_set)
    site.tell({"do": "retire"})
    await until(site.workers[0].done)
    assert swallowed == 2, "at the end of its time, and when its event was handed back"
    leave.set()
    await site.worker()
    await until(site.done)
    assert [text for _, _, text in site.mouth.said] == ["x"]


async def test_a_bot_does_not_hear_itself_and_stops_talking_to_bots(site: Site) -> None:
    site.add(echo(), bot_turns_per_minute=2)
    bots = [message(n, f"bot {n}", site.cipher, sender="ou_b", sender_type="bot") for n in range(4)]
    await site.accept(
        message(10, "me", site.cipher, sender="ou_echo", sender_type="app"),
        *bots,
        message(11, "person", site.cipher),
    )
    await site.worker()
    await until(site.done)
    assert [text for _, _, text in site.mouth.said] == ["bot 0", "bot 1", "person"]


@pytest.mark.parametrize(("on_stale", "said"), [("drop", ["new"]), ("process", ["old", "new"])])
async def test_stale_messages_are_dropped_where_the_bot_says_so(site: Site, on_stale: str, said: list[str]) -> None:
    now = SYSTEM_CLOCK.now()
    site.add(echo(), message={"stale_after": "60s", "on_stale": on_stale})
    await site.accept(message(1, "old", site.cipher, created=now - 61), message(2, "new", site.cipher, created=now))
    await site.worker()
    await until(site.done)
    assert [text for _, _, text in site.mouth.said] == said


async def test_state_is_sealed_and_belongs_to_its_chat(site: Site) -> None:
    bot = Bot()

    @bot.message()
    async def count(message: Message, ctx: Context) -> str:
        n = await ctx.state.chat.get("n", 0) + 1
        await ctx.state.chat.set("n", n, ttl="1h")
        return str(n)

    site.add(bot)
    await site.accept(
        message(1, "x", site.cipher), message(2, "x", site.cipher), message(3, "x", site.cipher, chat="oc_2")
    )
    await site.worker()
    await until(site.done)
    assert sorted(text for _, _, text in site.mouth.said) == ["1", "1", "2"]
    (key,) = [key async for key in site.link.commands.scan_iter(match=f"{site.keys.prefix}*:state:chat:oc_1:*")]
    assert not key.endswith(b":n")
    assert await site.link.commands.get(key) != b"2"
