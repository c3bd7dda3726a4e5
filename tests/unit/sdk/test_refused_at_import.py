"""What could never work in a bot's file is refused while it is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from app.core.errors import Misused
from app.sdk import Bot, Card, CardAction, Context, CronTick, Message, matches, to_me


class Settings(BaseModel):
    limit: int


async def two(argument: Any, ctx: Any) -> None: ...
async def one(ctx: Any) -> None: ...


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (
            lambda bot: bot.command("a")(one),
            r"@bot\.command\('a'\): one must take two parameters: \(message: Message, ctx: Context\)",
        ),
        (lambda bot: bot.message()(one), "must take two parameters"),
        (lambda bot: bot.message(two), r"write @bot\.message\(…\) above"),
        (lambda bot: bot.message("order"), r"@bot\.message\(\) takes filters .* not 'order'"),
        (lambda bot: bot.command(two), r"write @bot\.command\(…\) above"),
        (lambda bot: bot.cron(two), r"write @bot\.cron\(…\) above"),
        (lambda bot: bot.message()("no function"), "decorates a function"),
        (lambda bot: bot.message()(Card), "decorates a function"),
        (lambda bot: bot.error(two), r"write @bot\.error\(…\) above"),
        (lambda bot: bot.error("ValueError"), r"@bot\.error\(\) takes exception types"),
        (lambda bot: bot.error(BaseException), "takes exception types"),
        (lambda bot: bot.on_start(two), r"@bot\.on_start: two must take one parameter: \(ctx: Context\)"),
        (lambda bot: bot.on_stop(two), r"@bot\.on_stop: two must take one parameter: \(ctx: Context\)"),
    ],
)
def test_what_could_never_be_called_is_refused_at_import(declare: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(Misused, match=words):
        declare(Bot())


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda bot: bot.command("two words"), "one word"),
        (lambda bot: bot.command("/"), "one word"),
        (lambda bot: bot.event("im.message.receive_v1"), "@bot.message"),
        (lambda bot: bot.event("card.action.trigger"), "@bot.card"),
        (lambda bot: bot.cron("every day"), r"@bot\.cron\('every day'\).*minute hour day month weekday"),
        (lambda bot: bot.cron("61 * * * *"), "minute"),
        (lambda bot: bot.cron("0 9 * * *", tz="Mars/Olympus"), "no time zone 'Mars/Olympus'"),
        (lambda bot: bot.cron("0 9 * * *", tz="../etc"), "no time zone"),
    ],
)
def test_what_could_never_happen_is_refused_at_import(declare: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(Misused, match=words):
        declare(Bot())


async def swapped(ctx: Context[Settings], message: Message) -> None: ...
async def of_a_button(action: CardAction, ctx: Context) -> None: ...
async def evaluated(action: Any, ctx: Any) -> None: ...
async def hook(message: Message) -> None: ...


# As annotations are in a file without `from __future__ import annotations`.
evaluated.__annotations__ = {"action": CardAction, "ctx": Context[Settings]}


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (
            lambda bot: bot.command("a")(swapped),
            r"swapped must take \(message: Message, ctx: Context\), and has Context",
        ),
        (lambda bot: bot.message()(of_a_button), "of_a_button must take .* and has CardAction where Message is given"),
        (lambda bot: bot.cron()(evaluated), r"must take \(tick: CronTick, ctx: Context\), and has CardAction"),
        (lambda bot: bot.error()(of_a_button), "has CardAction where Exception is given"),
        (lambda bot: bot.on_start(hook), "has Message where Context is given"),
    ],
)
def test_a_parameter_of_another_events_type_is_refused_at_import(declare: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(Misused, match=words):
        declare(Bot())
    Bot().card("a")(evaluated)


@pytest.mark.parametrize(
    ("above", "below", "hidden"),
    [
        (lambda bot: bot.command("a"), lambda bot: bot.command("A"), True),
        (lambda bot: bot.command("a"), lambda bot: bot.command("b"), False),
        (lambda bot: bot.command("a"), lambda bot: bot.message(), False),
        (lambda bot: bot.message(), lambda bot: bot.command("a"), True),
        (lambda bot: bot.message(), lambda bot: bot.message(to_me), True),
        (lambda bot: bot.message(to_me), lambda bot: bot.message(to_me), False),
        (lambda bot: bot.message(), lambda bot: bot.card("a"), False),
        (lambda bot: bot.card("a"), lambda bot: bot.card("a"), True),
        (lambda bot: bot.card("a"), lambda bot: bot.command("a"), False),
        (lambda bot: bot.event("x_v1"), lambda bot: bot.event("x_v1"), True),
        (lambda bot: bot.preview(), lambda bot: bot.preview("a"), True),
        (lambda bot: bot.preview("a"), lambda bot: bot.preview("a"), False),
    ],
)
def test_what_could_never_be_found_is_refused_at_import(
    above: Callable[[Any], Any], below: Callable[[Any], Any], *, hidden: bool
) -> None:
    bot = Bot()
    above(bot)(two)
    if not hidden:
        below(bot)(two)
        return
    with pytest.raises(Misused, match=r"two can never run, since two \(.*test_refused.*\.py:\d+\) stands above"):
        below(bot)(two)


@pytest.mark.parametrize(
    ("wrong", "named"), [(Settings(limit=1), "an object of the class Settings"), (dict, "dict")], ids=["object", "dict"]
)
def test_settings_that_are_no_model_are_refused_at_import(wrong: Any, named: str) -> None:
    with pytest.raises(Misused, match=f"takes a class derived from pydantic's BaseModel, not {named}$"):
        Bot(wrong)


def test_a_pattern_that_is_none_is_refused_at_import() -> None:
    with pytest.raises(Misused, match=r"matches\('a\('\): no regular expression: missing \)"):
        matches("a(")
    with pytest.raises(Misused, match=r"@bot\.preview.*no regular expression"):
        Bot().preview("a(")


def test_two_schedules_of_one_name_are_refused_but_two_times_of_one_function_are_not() -> None:
    bot = Bot()

    @bot.cron("0 18 * * *")
    @bot.cron("0 9 * * *")
    async def remind(tick: CronTick, ctx: Context) -> None: ...

    assert [one.expr for one in bot.crons] == ["0 9 * * *", "0 18 * * *"]

    async def other(tick: CronTick, ctx: Context) -> None: ...

    other.__name__ = "remind"
    with pytest.raises(Misused, match="two scheduled functions are named remind"):
        bot.cron("0 10 * * *")(other)
