"""`BotTest`: what it feeds, what it records, what it refuses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.core.errors import FeishuRefused, HandlerTimeout, HubError
from app.sdk import (
    Bot,
    BotTest,
    Card,
    CardAction,
    Context,
    CronTick,
    FeishuEvent,
    Image,
    Message,
    Toast,
    from_owner,
    in_group,
    to_me,
)


class Settings(BaseModel):
    word: str = "hi"


async def test_settings_as_model_as_mapping_and_by_default() -> None:
    bot = Bot(Settings)

    @bot.message()
    async def say(message: Message, ctx: Context[Settings]) -> str:
        return ctx.settings.word

    assert await BotTest(bot).message("x") == ["hi"]
    assert await BotTest(bot, Settings(word="a")).message("x") == ["a"]
    assert await BotTest(bot, {"word": "b"}).message("x") == ["b"]
    with pytest.raises(ValidationError):
        BotTest(bot, {"word": 5})


async def test_who_where_and_mentions() -> None:
    bot = Bot()

    @bot.message(from_owner)
    async def owner(message: Message, ctx: Context) -> str:
        return f"owner in {message.chat_id}"

    @bot.message(in_group & to_me)
    async def group(message: Message, ctx: Context) -> str:
        return f"{message.text} of {message.sender_id}, {message.sender_type}, {message.thread_id}"

    test = BotTest(bot, owners=("ou_boss",))
    assert await test.message("x", user="ou_boss", chat="oc_9") == ["owner in oc_9"]
    assert await test.message("x", group=True, user="ou_1", thread="omt_1") == ["x of ou_1, user, omt_1"]
    assert await test.message("x", group=True, sender_type="bot") == ["x of ou_user, bot, "]
    assert await test.message("x", group=True, mention=False) == []
    assert test.outcome is None


async def test_other_messages_than_text() -> None:
    bot = Bot()

    @bot.message()
    async def picture(message: Message, ctx: Context) -> Image:
        data = await ctx.download(message.content["image_key"], "image")
        return Image(await ctx.upload(data[::-1], "b.png", "image"))

    test = BotTest(bot)
    test.files["img_1"] = b"abc"
    assert await test.message(type="image", content={"image_key": "img_1"}) == [{"image_key": "key_1"}]
    assert (test.uploads[0].data, test.uploads[0].kind) == (b"cba", "image")
    with pytest.raises(LookupError, match="img_2"):
        await test.message(type="image", content={"image_key": "img_2"})


async def test_every_event_is_a_new_one() -> None:
    bot = Bot()
    seen: list[str] = []

    @bot.message()
    async def note(message: Message, ctx: Context) -> None:
        seen.append(message.message_id)
        await ctx.react("OK")

    test = BotTest(bot)
    await test.message("a")
    await test.message("a")
    assert len(set(seen)) == 2
    assert [one.message_id for one in test.reactions] == seen


async def test_records_are_kept_and_told_apart() -> None:
    bot = Bot()

    @bot.event("im.chat.member.bot.added_v1")
    async def added(event: FeishuEvent, ctx: Context) -> str:
        first = await ctx.send("oc_ops", "added")
        await ctx.update(first, Card.of(title="added"))
        return f"hello {event.user_id}"

    test = BotTest(bot)
    body = {"chat_id": "oc_5", "operator_id": {"open_id": "ou_5"}}
    assert await test.event("im.chat.member.bot.added_v1", body) == ["hello ou_5"]
    assert await test.event("im.chat.member.bot.added_v1", body) == ["hello ou_5"]
    assert [one.chat_id for one in test.replies] == ["oc_5", "oc_5"]
    assert [one.chat_id for one in test.sent] == ["oc_ops", "oc_ops"]
    assert test.updates[0].message_id == test.sent[0].message_id
    ids = [one.message_id for one in (*test.replies, *test.sent)]
    assert len(set(ids)) == 4


async def test_cards_are_pressed_with_the_values_they_have() -> None:
    bot = Bot()

    @bot.command("ask")
    async def ask(message: Message, ctx: Context) -> Card:
        return Card.of().button("A", action="a", value={"n": 1}).button("B", action="b", value={"n": 2})

    @bot.card("b")
    async def b(action: CardAction, ctx: Context) -> Toast:
        return Toast.info(f"{action.get('n')} {action.operator_id}")

    test = BotTest(bot)
    [card] = await test.message("ask")
    assert await test.click(card, "b", user="ou_7") == {"toast": {"type": "info", "content": "2 ou_7"}}
    with pytest.raises(LookupError, match=r"no button .*'c'; it has \['a', 'b'\]"):
        await test.click(card, "c")
    assert await test.click(card, "a") == {}
    assert test.outcome is None


async def test_all_that_a_card_can_carry() -> None:
    bot = Bot()
    seen: list[CardAction] = []

    @bot.card("a")
    async def a(action: CardAction, ctx: Context) -> None:
        seen.append(action)

    test = BotTest(bot)
    await test.card("a", "a string", form={"x": "1"}, input="typed", options=("o1", "o2"), message_id="om_9")
    [got] = seen
    assert (got.value, got.form, got.input, got.options, got.message_id) == (
        "a string",
        {"x": "1"},
        "typed",
        ("o1", "o2"),
        "om_9",
    )


async def test_cron_at_a_time() -> None:
    bot = Bot()

    @bot.cron("0 9 * * *", tz="Asia/Shanghai")
    async def remind(tick: CronTick, ctx: Context) -> None:
        await ctx.send(tick.chat_id or "oc_x", f"{tick.at:%H:%M}")

    test = BotTest(bot)
    assert await test.cron("remind", at=datetime(2024, 5, 1, 1, 0, tzinfo=UTC)) == ["09:00"]
    assert await test.cron("remind", chat="oc_y") != []
    assert [one.chat_id for one in test.sent] == ["oc_x", "oc_y"]
    with pytest.raises(LookupError, match=r"no schedule 'other'; it has \['remind'\]"):
        await test.cron("other")


async def test_calls_are_answered_by_the_test() -> None:
    bot = Bot()

    @bot.message()
    async def call(message: Message, ctx: Context) -> str:
        return str(await ctx.call({"any": "request"}))

    test = BotTest(bot, on_call=lambda request: request["any"])
    assert await test.message("x") == ["request"]
    assert test.calls == [{"any": "request"}]
    with pytest.raises(LookupError, match="on_call"):
        await BotTest(bot).message("x")


async def test_slow_handler_is_stopped_and_its_context_refuses() -> None:
    bot = Bot()
    kept: list[Context] = []

    @bot.message()
    async def slow(message: Message, ctx: Context) -> None:
        kept.append(ctx)
        await asyncio.Event().wait()

    with pytest.raises(HandlerTimeout, match=r"handler slow took longer than 0\.01 s"):
        await BotTest(bot, timeout=0.01).message("x")
    with pytest.raises(HandlerTimeout):
        _ = kept[0].reply("late")


async def test_timeout_of_the_handlers_own_is_an_error_like_any() -> None:
    bot = Bot()

    @bot.message()
    async def impatient(message: Message, ctx: Context) -> None:
        raise TimeoutError("own")

    with pytest.raises(TimeoutError, match="own"):
        await BotTest(bot).message("x")


async def test_card_that_is_no_json_fails_as_it_would_at_feishu() -> None:
    bot = Bot()

    @bot.message()
    async def card(message: Message, ctx: Context) -> Card:
        return Card.of().button("x", action="x", value={"when": datetime.now(UTC)})

    with pytest.raises(TypeError, match="JSON"):
        await BotTest(bot).message("x")


async def test_hooks_run_around() -> None:
    bot = Bot()
    ran: list[str] = []

    @bot.on_start
    async def start(ctx: Context) -> None:
        await ctx.send("oc_ops", "started")
        ran.append("start")

    @bot.on_stop
    def stop(ctx: Context) -> None:
        ran.append("stop")

    @bot.message()
    async def ask(message: Message, ctx: Context) -> str:
        return "x"

    async with BotTest(bot) as test:
        assert await test.message("x") == ["x"]
        assert [one.content for one in test.sent] == ["started"]
        assert ran == ["start"]
    assert ran == ["start", "stop"]


async def test_what_the_hub_refuses_is_refused_here() -> None:
    bot = Bot()
    kept: list[Context] = []

    @bot.on_start
    async def start(ctx: Context) -> None:
        await ctx.state.bot.set("a", 1)

    @bot.message()
    async def empty(message: Message, ctx: Context) -> str:
        kept.append(ctx)
        return ""

    @bot.event("im.chat.updated_v1")
    async def react(event: FeishuEvent, ctx: Context) -> None:
        await ctx.react("OK")

    test = BotTest(bot)
    with pytest.raises(HubError, match="on_start"):
        await test.__aenter__()
    with pytest.raises(FeishuRefused, match="return None"):
        await test.message("x")
    with pytest.raises(HubError, match="of no message"):
        await test.event("im.chat.updated_v1", {"chat_id": "oc_1"})
    with pytest.raises(HandlerTimeout, match="this attempt is over"):
        _ = kept[0].send("oc_1", "after the end")


async def test_words_on_a_card_go_to_its_chat_and_reply_to_nothing() -> None:
    bot = Bot()

    @bot.card("a")
    async def a(action: CardAction, ctx: Context) -> None:
        await ctx.reply("x")

    test = BotTest(bot)
    await test.card("a", chat="oc_3")
    assert [(one.chat_id, one.reply_to) for one in test.replies] == [("oc_3", "")]


def test_bot_under_test_needs_no_event_loop() -> None:
    # A test may make one at import.
    bot: Bot[Any] = Bot()
    BotTest(bot)
