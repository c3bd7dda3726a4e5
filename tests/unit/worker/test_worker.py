"""Events to their end: in order, once, retried, buried, set aside, handed back."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import FeishuRefused, StoreUnavailable
from app.sdk.bot import Bot
from app.sdk.card import Card
from app.sdk.card_action import CardAction
from app.sdk.context import Context
from app.sdk.feishu_event import FeishuEvent
from app.sdk.message import Message
from app.sdk.outcomes import Drop, Retry
from app.sdk.toast import Toast
from app.worker.solo import packed
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import click, message, other, spec
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


def echo() -> Bot[Any]:
    bot = Bot()

    @bot.message()
    async def say(message: Message, ctx: Context) -> str:
        return message.text

    return bot


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
    while not await site.done():
        await site.leases.sweep(["echo"])
        await asyncio.sleep(0.005)
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


async def test_no_more_conversations_at_once_than_the_bot_may_have(site: Site) -> None:
    bot, gate = Bot(), asyncio.Event()
    at_once, most = 0, 0

    @bot.message()
    async def hold(message: Message, ctx: Context) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await gate.wait()
        at_once -= 1

    site.add(bot, server={"workers": 3})
    await site.accept(*(message(n, "x", site.cipher, chat=f"oc_{n}") for n in range(9)))
    await site.worker()
    await until(lambda: at_once == 3)
    gate.set()
    await until(site.done)
    assert most == 3


async def test_callbacks_are_answered_while_all_slots_are_in_use(site: Site) -> None:
    bot, gate, held = Bot(), asyncio.Event(), asyncio.Event()

    @bot.message()
    async def hold(message: Message, ctx: Context) -> None:
        held.set()
        await gate.wait()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Toast:
        return Toast.success("done")

    site.add(bot, server={"workers": 1})
    await site.accept(*(message(n, "x", site.cipher, chat=f"oc_{n}") for n in range(2)))
    await site.worker()
    await held.wait()
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    listening = asyncio.create_task(site.calls.listen())
    sealed = await site.calls.wait("echo", "e5", time.monotonic() + 5)
    listening.cancel()
    assert sealed is not None
    assert site.cipher.open(sealed, b"result\ne5") == (b'{"toast":{"type":"success","content":"done"}}')
    gate.set()
    await until(site.done)


@pytest.mark.parametrize("private", [False, True])
async def test_a_late_answer_comes_by_its_own_ways(site: Site, private: bool) -> None:
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> tuple[Toast, Card]:
        return Toast.info("late, but done"), Card.of(title="done")

    site.mouth.private = private
    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    assert await site.calls.wait("echo", "e5", time.monotonic()) is None  # the gateway gives up
    await site.worker()
    await until(site.done)
    kinds = [kind for kind, _ in site.mouth.other]
    assert kinds == (["update_card"] if private else ["update_card", "ephemeral"])
    assert site.mouth.other[0][1][0] == "c-1"
    assert site.mouth.said == ([("echo", "ou_1", "late, but done")] if private else [])


async def test_a_callback_that_fails_is_answered_at_once_and_buried(site: Site) -> None:
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Toast:
        raise ValueError

    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(site.done)
    sealed = await site.calls.wait("echo", "e5", time.monotonic() + 5)
    assert sealed is not None
    assert b'"type":"error"' in site.cipher.open(sealed, b"result\ne5")
    assert len(await site.letters()) == 1


async def test_a_callback_nobody_started_in_time_is_buried(site: Site) -> None:
    site.add(echo())
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now() - 31))
    await site.worker()
    await until(site.done)
    assert (await site.letters())[0].reason == "not started within 30 s"


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


async def test_draining_waits_for_handlers_and_hands_the_rest_back_unstarted(site: Site) -> None:
    bot, gate, began = Bot(), asyncio.Event(), []
    stopped = []

    @bot.message()
    async def hold(message: Message, ctx: Context) -> str:
        began.append(message.text)
        if message.text == "short":
            await gate.wait()
        else:
            await asyncio.Event().wait()
        return message.text

    @bot.on_stop
    async def stop(ctx: Context) -> None:
        stopped.append(ctx.bot_id)

    site.add(bot)
    await site.accept(
        message(1, "short", site.cipher),
        message(2, "behind it", site.cipher),
        message(3, "endless", site.cipher, chat="oc_2"),
    )
    await site.worker(drain_timeout=0.3)
    await until(lambda: sorted(began) == ["endless", "short"])
    site.tell({"do": "drain"})
    gate.set()
    assert await asyncio.wait_for(site.workers[0], 5) == 0
    assert [text for _, _, text in site.mouth.said] == ["short"]
    assert "behind it" not in began
    assert stopped == ["echo"]
    works = await site.mailbox.take("echo", "next:1", 10)
    assert sorted((work.entry.event_id, work.starts, work.deaths) for work in works) == [
        ("e2", 1, 0),
        ("e3", 1, 0),
    ]


async def test_a_thread_out_of_time_keeps_its_conversation_until_it_ends(site: Site) -> None:
    bot, leave, order = Bot(), threading.Event(), []

    @bot.message()
    def block(message: Message, ctx: Context) -> None:
        order.append(message.text)
        if message.text == "slow":
            leave.wait(5)

    site.add(bot, timeout=0.05, message={"retry_policy": {"max_attempts": 1}})
    await site.accept(message(1, "slow", site.cipher), message(2, "next", site.cipher))
    await site.worker()
    await until(lambda: order == ["slow"])
    with pytest.raises(TimeoutError):
        await until(lambda: len(order) > 1, timeout=0.2)
    leave.set()
    await until(site.done)
    assert order == ["slow", "next"]
    assert [letter.entry.event_id for letter in await site.letters()] == ["e1"]


async def test_a_lost_claim_stops_the_handler_and_another_answers_once(site: Site) -> None:
    bot, gate, began = Bot(), asyncio.Event(), []

    @bot.message()
    async def hold(message: Message, ctx: Context) -> str:
        began.append(ctx.attempt)
        if len(began) == 1:
            await gate.wait()
        return "said"

    site.add(bot)
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    await until(lambda: began)
    # Another node takes it for dead, as after a long sleep of this one.
    await site.leases.abandon("test:1", ["echo"])
    await until(site.done)  # the same worker takes it anew, under another fence
    gate.set()
    assert site.mouth.said == [("echo", "om_in_1", "said")]
    await until(lambda: len(began) == 2)


async def test_mail_of_a_bot_without_handlers_waits_and_comes_when_it_has_them(site: Site) -> None:
    site.bots.change(spec())
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    with pytest.raises(TimeoutError):
        await until(site.done, timeout=0.5)
    site.add(echo())
    await until(site.done)
    assert len(site.mouth.said) == 1


async def test_a_shared_worker_hands_the_token_of_a_bot_kept_apart_to_the_node(site: Site) -> None:
    site.add(echo())
    await site.worker(bots=("echo",))
    await site.accept(message(1, "x", site.cipher))
    await until(lambda: {"say": "elsewhere", "bot": "echo"} in site.told)
    await site.worker(kind="quarantine", bots=("echo",))
    site.tell({"do": "take", "bot": "echo"}, worker=1)
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
    while not await site.done():
        await site.leases.sweep(["echo"])
        await asyncio.sleep(0.005)
    (letter,) = await site.letters()
    assert letter.reason == "attempts used up: the handler failed"
    assert letter.detail.startswith("on_start failed: FeishuRefused")
    assert "private" not in letter.detail
    assert [text for _, _, text in site.mouth.said] == ["b"]


async def test_an_outage_at_the_answer_does_not_run_a_callback_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, presses = Bot(), []

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Toast:
        presses.append(1)
        return Toast.success("done")

    written, tries = site.calls.answer, []

    async def away_once(bot: str, event_id: str, result: bytes) -> Any:
        tries.append(1)
        if len(tries) == 1:
            await written(bot, event_id, result)  # and its reply is lost
            raise StoreUnavailable("Redis is away")
        return await written(bot, event_id, result)

    monkeypatch.setattr(site.calls, "answer", away_once)
    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(site.done)
    assert (presses, len(tries), site.mouth.other) == ([1], 2, [])
    assert await site.calls.wait("echo", "e5", time.monotonic() + 5) is not None


async def test_an_event_two_workers_died_with_is_given_to_the_node_to_run_alone(site: Site) -> None:
    site.add(echo())
    await site.accept(message(1, "deadly", site.cipher), message(2, "next", site.cipher))
    for death in range(2):
        (work,) = await site.mailbox.take("echo", f"dead:{death}", 1)
        await site.leases.abandon(work.owner, ["echo"])
    await site.worker()
    await until(lambda: [one for one in site.told if one["say"] == "solo"])
    (asked,) = [one for one in site.told if one["say"] == "solo"]
    assert asked["work"]["log_id"]
    site.tell({"do": "solo", "id": asked["id"], "died": True})
    await until(site.done)
    (letter,) = await site.letters()
    assert (letter.reason, letter.starts) == ("died alone", 3)
    assert [text for _, _, text in site.mouth.said] == ["next"]


async def test_a_solo_worker_handles_its_one_event_under_the_askers_claim(site: Site) -> None:
    site.add(echo())
    await site.accept(message(1, "suspect", site.cipher))
    (work,) = await site.mailbox.take("echo", "asker:1", 1)
    await site.worker(kind="solo")
    site.tell({"do": "run", "work": packed(work)})
    assert await asyncio.wait_for(site.workers[0], 5) == 0
    await until(lambda: [one for one in site.told if one["say"] == "outcome"])
    assert site.told[-1]["outcome"]["ending"] == "done"
    assert site.mouth.said == [("echo", "om_in_1", "suspect")]
    assert await site.mailbox.finish(work) is None


async def test_the_answer_to_a_replayed_callback_comes_late_since_nobody_waits(site: Site) -> None:
    bot = Bot()
    presses: list[int] = []

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Card:
        presses.append(1)
        if len(presses) == 1:
            raise ValueError
        return Card.of(title="done")

    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(site.letters)
    (letter,) = await site.letters()
    assert await site.dead.replay("echo", letter.id)
    await until(lambda: [kind for kind, _ in site.mouth.other] == ["update_card"])


async def test_an_answer_that_no_gateway_can_wait_for_any_more_is_late(site: Site) -> None:
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Card:
        return Card.of(title="done")

    site.add(bot)
    # Its gateway died, or could not tell Redis that it gave up.
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now() - 4))
    await site.worker()
    await until(lambda: [kind for kind, _ in site.mouth.other] == ["update_card"])
    assert await site.calls.wait("echo", "e5", time.monotonic() + 5) is None


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
