"""`Context` and `State`: refusals, scopes, time, and what goes through to the verbs."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import HandlerTimeout, Misused
from app.core.logs import get_logger
from app.model.event import Event
from app.sdk.bot import NoSettings
from app.sdk.context import Context
from app.sdk.memory import Memory
from tests.hand_clock import HandClock
from tests.unit.sdk.events import event_of, message_event


def context(event: Event | None = None, **details: Any) -> tuple[Context, Memory]:
    clock = details.get("clock", SYSTEM_CLOCK)
    memory = Memory(clock, None)
    log = get_logger("test")
    return Context(memory.verbs(event), NoSettings(), log, bot_id="b", event=event, **details), memory


async def test_verbs_reach_their_surroundings() -> None:
    ctx, memory = context(message_event("hi"))
    replied = await ctx.reply("a", in_thread=True)
    await ctx.send("oc_x", "b")
    await ctx.send("oc_x", "b", later=True)
    await ctx.update(replied, "c")
    await ctx.react("OK")
    await ctx.react("OK", "om_other")
    key = await ctx.upload(b"data", "a.txt")
    assert await ctx.download(key) == b"data"
    said = memory.replies[0]
    assert (said.content, said.in_thread, said.reply_to, said.chat_id) == ("a", True, "om_0002", "oc_0002")
    assert [(one.chat_id, one.later) for one in memory.sent] == [("oc_x", False), ("oc_x", True)]
    assert memory.updates[0].message_id == replied
    assert [one.message_id for one in memory.reactions] == ["om_0002", "om_other"]
    assert (memory.uploads[0].name, memory.uploads[0].kind) == ("a.txt", "stream")


@pytest.mark.parametrize(
    "verb",
    [
        lambda ctx: ctx.reply("x"),
        lambda ctx: ctx.send("oc_1", "x"),
        lambda ctx: ctx.stream(),
        lambda ctx: ctx.update("om", "x"),
        lambda ctx: ctx.react("OK"),
        lambda ctx: ctx.upload(b"x"),
        lambda ctx: ctx.download("key"),
        lambda ctx: ctx.call(object()),
        lambda ctx: ctx.state,
    ],
)
def test_refusal_is_raised_at_the_call(verb: Any) -> None:
    ctx, memory = context(message_event("hi"))
    ctx.refuse(HandlerTimeout("over"))
    with pytest.raises(HandlerTimeout, match="over"):
        verb(ctx)
    other, _ = context(message_event("hi"))
    with pytest.raises(Misused, match="async def"):
        verb(other.without_verbs())
    assert memory.replies == []


async def test_a_card_that_types_takes_nothing_after_the_attempt() -> None:
    ctx, memory = context(message_event("hi"))
    async with ctx.stream() as card:
        await card.write("so far")
        ctx.refuse(HandlerTimeout("over"))
        with pytest.raises(HandlerTimeout):
            await card.write(", and more")
    assert [one.content for one in memory.replies] == ["so far"]
    with pytest.raises(HandlerTimeout):
        await card.write("more")


async def test_a_card_types_only_inside_its_block() -> None:
    ctx, _ = context(message_event("hi"))
    with pytest.raises(Misused, match="async with"):
        await ctx.stream().write("x")


async def test_a_card_stands_where_it_was_begun() -> None:
    ctx, memory = context(message_event("hi"))
    async with ctx.stream(in_thread=True) as card, ctx.stream(chat_id="oc_x") as other:
        await card.write("one ")
        await ctx.reply("between")
        await card.write("two")
        await other.write("elsewhere")
        assert card.message_id == "om_bot_1"
    assert [(one.content, one.in_thread) for one in memory.replies] == [("one two", True), ("between", False)]
    assert [(one.chat_id, one.content) for one in memory.sent] == [("oc_x", "elsewhere")]


def test_a_card_for_nobody_says_what_to_do() -> None:
    ctx, _ = context(None)
    with pytest.raises(Misused, match="nobody to reply to"):
        ctx.stream()
    with pytest.raises(ValueError, match="no receiver"):
        ctx.stream(chat_id="x")


async def test_refusal_reaches_a_shelf_taken_before() -> None:
    ctx, _ = context(message_event("hi"))
    shelf = ctx.state.chat
    ctx.refuse(HandlerTimeout("over"))
    with pytest.raises(HandlerTimeout):
        await shelf.set("a", 1)


def test_without_verbs_keeps_all_else() -> None:
    ctx, _ = context(message_event("hi"), attempt=2, deadline=lambda: 5.0)
    twin = ctx.without_verbs()
    assert (twin.attempt, twin.deadline, twin.bot_id, twin.event, twin.settings) == (
        2,
        5.0,
        "b",
        ctx.event,
        ctx.settings,
    )


def test_send_to_what_is_no_receiver_says_what_is() -> None:
    ctx, _ = context(message_event("hi"))
    with pytest.raises(ValueError, match=r"'' is no receiver: give a chat \(oc_…\)"):
        _ = ctx.send("", "x")


@pytest.mark.parametrize("event", [None, event_of("application.bot.menu_v6", {})])
def test_reply_to_nobody_says_what_to_do(event: Event | None) -> None:
    ctx, _ = context(event)
    with pytest.raises(Misused, match=r"ctx\.send"):
        _ = ctx.reply("x")


async def test_deadline_moves_with_the_surroundings() -> None:
    clock = HandClock()
    until = 1060.0
    ctx, _ = context(None, clock=clock, deadline=lambda: until)
    assert (ctx.deadline, ctx.seconds_left) == (1060.0, 60.0)
    until = 1070.0
    assert ctx.seconds_left == 70.0
    clock.time = 2000.0
    assert ctx.seconds_left == 0.0


async def test_state_is_kept_by_chat_by_user_and_by_bot() -> None:
    ctx, memory = context(message_event("hi"))
    for number, shelf in enumerate((ctx.state.chat, ctx.state.user, ctx.state.bot)):
        await shelf.set("a", {"n": number, "文": (1, None, "x")})
    assert {scope for scope, _ in memory.state} == {"chat:oc_0002", "user:ou_0001", "bot"}
    assert await ctx.state.of_chat("oc_0002").get("a") == {"n": 0, "文": [1, None, "x"]}
    assert await ctx.state.of_user("ou_0001").get("a") == {"n": 1, "文": [1, None, "x"]}
    assert await ctx.state.of_chat("oc_other").get("a") is None
    await ctx.state.chat.delete("a")
    assert await ctx.state.chat.get("a", "gone") == "gone"
    assert await ctx.state.bot.get("a") is not None


async def test_none_and_false_are_values() -> None:
    ctx, _ = context(message_event("hi"))
    await ctx.state.chat.set("a", None)
    await ctx.state.chat.set("b", False)
    assert await ctx.state.chat.get("a", "default") is None
    assert await ctx.state.chat.get("b", True) is False


async def test_state_runs_out() -> None:
    clock = HandClock()
    ctx, _ = context(message_event("hi"), clock=clock)
    await ctx.state.chat.set("a", 1, ttl="30s")
    clock.time += 29
    assert await ctx.state.chat.get("a") == 1
    clock.time += 1
    assert await ctx.state.chat.get("a") is None
    with pytest.raises(ValueError, match="span"):
        await ctx.state.chat.set("a", 1, ttl="soon")


async def test_state_takes_nothing_but_json() -> None:
    ctx, _ = context(message_event("hi"))
    with pytest.raises(TypeError, match="JSON"):
        await ctx.state.chat.set("a", {1, 2})


async def test_half_a_surrogate_pair_is_kept() -> None:
    ctx, _ = context(message_event("hi"))
    await ctx.state.chat.set("a", "\ud83d")
    assert await ctx.state.chat.get("a") == "\ud83d"


def test_state_of_nobody_says_what_to_do() -> None:
    ctx, _ = context(None)
    with pytest.raises(Misused, match="of no chat"):
        ctx.state.chat
    with pytest.raises(Misused, match="nobody caused"):
        ctx.state.user
