"""`Bot`: what it accepts at import, what it finds, which errors it takes."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.core.errors import FeishuLimited, FeishuRefused, Fenced, HubError, StoreUnavailable
from app.sdk import (
    Bot,
    CardAction,
    Context,
    CronTick,
    Drop,
    FeishuEvent,
    Link,
    Message,
    Preview,
    Retry,
    Toast,
    from_owner,
    in_private,
    matches,
    to_me,
)
from app.sdk.cron_tick import cron_event
from app.sdk.handler import Found
from app.sdk.subject import subject_of
from tests.unit.sdk.events import BOT_MENTION, ME, event_of, message


def find(bot: Bot[Any], text: str, **details: Any) -> Found | None:
    return bot.find(message(text, **details), ME)


def name_of(found: Found | None) -> str:
    return found.handler.function.__name__ if found else "nobody"


def test_first_match_in_the_order_written() -> None:
    bot = Bot()

    @bot.message(matches("^secret"))
    async def first(message: Message, ctx: Context) -> None: ...

    @bot.command("secret")
    async def second(message: Message, ctx: Context) -> None: ...

    @bot.command("open")
    async def third(message: Message, ctx: Context) -> None: ...

    @bot.message()
    async def last(message: Message, ctx: Context) -> None: ...

    assert name_of(find(bot, "secret")) == "first"
    assert name_of(find(bot, "/secret")) == "second"
    assert name_of(find(bot, "open")) == "third"
    assert name_of(find(bot, "anything")) == "last"


def test_found_command_carries_its_arguments() -> None:
    bot = Bot()

    @bot.command("/Deploy")
    async def deploy(message: Message, ctx: Context) -> None: ...

    found = find(bot, "@_user_1 deploy  api now", group=True, mentions=[BOT_MENTION])
    assert found is not None
    assert isinstance(found.argument, Message)
    assert (found.argument.command, found.argument.args) == ("Deploy", "api now")


def test_all_filters_must_agree_and_groups_arrive() -> None:
    bot = Bot()

    @bot.message(in_private, matches("(?P<a>x)"), matches("(?P<b>y)"))
    async def both(message: Message, ctx: Context) -> None: ...

    found = find(bot, "x y")
    assert found is not None
    assert isinstance(found.argument, Message)
    assert found.argument.groups == {"a": "x", "b": "y"}
    assert find(bot, "x") is None
    assert find(bot, "x y", group=True) is None


def test_nobody_takes_what_fits_nowhere() -> None:
    bot = Bot()

    @bot.message(to_me & from_owner)
    async def owner(message: Message, ctx: Context) -> None: ...

    assert find(bot, "hi") is None
    assert bot.find(subject_of(event_of("im.chat.disbanded_v1", {}), ME), ME) is None


def test_events_cards_previews_and_schedules() -> None:
    bot = Bot()

    @bot.event("im.chat.updated_v1")
    async def on_event(event: FeishuEvent, ctx: Context) -> None: ...

    @bot.card("approve")
    async def on_card(action: CardAction, ctx: Context) -> Toast | None: ...

    @bot.preview(r"example\.test/(?P<page>\w+)", "other")
    async def on_preview(preview: Preview, ctx: Context) -> Link | None: ...

    @bot.cron("0 9 * * *")
    async def on_time(tick: CronTick, ctx: Context) -> None: ...

    def taker(type: str, body: dict[str, Any]) -> str:
        return name_of(bot.find(subject_of(event_of(type, body), ME), ME))

    assert taker("im.chat.updated_v1", {}) == "on_event"
    assert taker("im.chat.disbanded_v1", {}) == "nobody"
    assert taker("card.action.trigger", {"action": {"value": {"action": "approve"}}}) == "on_card"
    assert taker("card.action.trigger", {"action": {"name": "Button_1", "value": {"action": "approve"}}}) == "on_card"
    assert taker("card.action.trigger", {"action": {"value": "approve"}}) == "on_card"
    assert taker("card.action.trigger", {"action": {"value": {"action": "reject"}}}) == "nobody"
    assert taker("url.preview.get", {"context": {"url": "https://nowhere.test"}}) == "nobody"
    found = bot.find(subject_of(event_of("url.preview.get", {"context": {"url": "https://example.test/a"}}), ME), ME)
    assert found is not None
    assert isinstance(found.argument, Preview)
    assert found.argument.groups == {"page": "a"}
    tick = cron_event("b", "cli", "on_time", 0.0, tz="UTC")
    assert name_of(bot.find(subject_of(tick, ME), ME)) == "on_time"
    assert [one.name for one in bot.crons] == ["on_time"]


def test_preview_without_patterns_takes_every_link() -> None:
    bot = Bot()

    @bot.preview()
    async def any_link(preview: Preview, ctx: Context) -> Link | None: ...

    link = subject_of(event_of("url.preview.get", {"context": {"url": "https://nowhere.test"}}), ME)
    assert name_of(bot.find(link, ME)) == "any_link"


def test_one_function_may_carry_several_commands() -> None:
    bot = Bot()

    @bot.command("leave", help="/leave  ask for leave")
    @bot.command("请假")
    async def leave(message: Message, ctx: Context) -> None: ...

    assert name_of(find(bot, "/leave")) == name_of(find(bot, "请假 明天")) == "leave"
    assert bot.help_text() == "/请假\n/leave  ask for leave"


def test_help_text_completes_what_does_not_begin_with_the_command() -> None:
    bot = Bot()

    @bot.command("ping", help="is it there?")
    async def ping(message: Message, ctx: Context) -> None: ...

    assert bot.help_text() == "/ping  is it there?"
    assert Bot().help_text() == ""


def test_plain_functions_are_told_apart() -> None:
    bot = Bot()

    def noisy(
        function: Callable[[Message, Context], Awaitable[None]],
    ) -> Callable[[Message, Context], Awaitable[None]]:
        @functools.wraps(function)
        def wrapper(message: Message, ctx: Context) -> Awaitable[None]:
            return function(message, ctx)

        return wrapper

    @bot.message(to_me)
    def plain(message: Message, ctx: Context) -> str:
        return ""

    @bot.message()
    @noisy
    async def wrapped(message: Message, ctx: Context) -> None: ...

    assert [one.is_async for one in bot.handlers] == [False, True]


class Settings(BaseModel):
    limit: int


def test_settings() -> None:
    assert Bot(Settings).read_settings({"limit": 3}) == Settings(limit=3)
    with pytest.raises(ValidationError, match="limit"):
        Bot(Settings).read_settings({})
    with pytest.raises(ValidationError, match="unknown"):
        Bot().read_settings({"unknown": 1})
    Bot().read_settings({})


def rescuer(bot: Bot[Any], error: Exception) -> str:
    handler = bot.error_handler(error)
    return handler.name if handler else "nobody"


def test_errors_go_to_the_first_handler_of_their_type() -> None:
    bot = Bot()

    @bot.error(KeyError, ValueError)
    async def some(error: KeyError | ValueError, ctx: Context) -> None: ...

    @bot.error()
    async def all_others(error: Exception, ctx: Context) -> None: ...

    assert rescuer(bot, KeyError()) == "some"
    assert rescuer(bot, UnicodeError()) == "some"
    assert rescuer(bot, OSError()) == "all_others"
    assert rescuer(Bot(), OSError()) == "nobody"


@pytest.mark.parametrize("error", [Retry(), Drop("x"), Fenced("lost")])
def test_what_is_no_failure_of_the_bot_is_never_taken(error: Exception) -> None:
    bot = Bot()

    @bot.error(Exception, HubError)
    async def everything(error: Exception, ctx: Context) -> None: ...

    assert bot.error_handler(error) is None


def test_errors_that_heal_are_taken_only_by_who_names_them() -> None:
    bot = Bot()

    @bot.error(FeishuLimited)
    async def limited(error: FeishuLimited, ctx: Context) -> None: ...

    @bot.error()
    async def everything(error: Exception, ctx: Context) -> None: ...

    assert rescuer(bot, FeishuLimited("slow")) == "limited"
    assert rescuer(bot, StoreUnavailable("gone")) == "nobody"
    assert rescuer(bot, FeishuRefused("never")) == "everything"


def test_event_handlers_are_no_error_handlers() -> None:
    bot = Bot()

    @bot.message()
    async def hello(message: Message, ctx: Context) -> None: ...

    assert bot.error_handler(ValueError()) is None
