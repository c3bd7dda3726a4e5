"""`run_handler`: what becomes of what a handler returns and raises."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from app.core.errors import Fenced, Misused, StoreUnavailable
from app.sdk import (
    Bot,
    BotTest,
    Card,
    CardAction,
    Context,
    CronTick,
    Drop,
    Link,
    Message,
    Preview,
    Retry,
    Toast,
)
from app.sdk.answer import Done, answer_of


async def test_returned_text_and_cards_are_replies() -> None:
    bot = Bot()

    @bot.command("text")
    async def text(message: Message, ctx: Context) -> str:
        return "hi"

    @bot.command("card")
    async def card(message: Message, ctx: Context) -> Card:
        return Card.of(title="t")

    @bot.command("none")
    async def none(message: Message, ctx: Context) -> None: ...

    @bot.command("both")
    async def both(message: Message, ctx: Context) -> str:
        await ctx.reply("first")
        return "second"

    test = BotTest(bot)
    assert await test.message("text") == ["hi"]
    assert await test.message("card") == [Card.of(title="t").to_dict()]
    assert await test.message("none") == []
    assert isinstance(test.outcome, Done)
    assert await test.message("both") == ["first", "second"]


async def test_plain_def_runs_off_the_loop_and_may_return() -> None:
    bot = Bot()
    threads: list[threading.Thread] = []

    @bot.command("a")
    def plain(message: Message, ctx: Context) -> str:
        threads.append(threading.current_thread())
        return f"attempt {ctx.attempt}"

    assert await BotTest(bot).message("a", attempt=2) == ["attempt 2"]
    assert threads[0] is not threading.main_thread()


async def test_plain_def_may_not_use_verbs() -> None:
    bot = Bot()

    @bot.command("a")
    def plain(message: Message, ctx: Context) -> None:
        _ = ctx.reply("x")

    with pytest.raises(Misused, match="make it `async def`"):
        await BotTest(bot).message("a")


async def test_plain_def_that_gives_a_coroutine_is_named() -> None:
    bot = Bot()

    async def real(message: Message, ctx: Context) -> str:
        return "x"

    bot.command("a")(lambda message, ctx: real(message, ctx))
    with pytest.raises(Misused, match="plain def that gives a coroutine"):
        await BotTest(bot).message("a")


@pytest.mark.parametrize("wrong", [5, {"text": "x"}, Toast.info("x"), ["x"], object()])
async def test_what_cannot_be_said_names_the_handler(wrong: Any) -> None:
    bot: Any = Bot()

    async def handler(message: Message, ctx: Context) -> Any:
        return wrong

    bot.command("a")(handler)
    test = BotTest(bot)
    with pytest.raises(Misused, match=r"handler handler \(.*test_answer\.py:\d+\): a bot cannot say a"):
        await test.message("a")
    assert test.replies == []


async def test_schedule_has_nobody_to_reply_to() -> None:
    bot: Any = Bot()

    async def remind(tick: CronTick, ctx: Context) -> str:
        return "x"

    bot.cron("0 9 * * *")(remind)
    with pytest.raises(Misused, match=r"handler remind \(.*\): .*ctx\.send"):
        await BotTest(bot).cron("remind")


def test_answers_have_the_shape_that_feishu_wants() -> None:
    card = Card.of(title="t")
    toast = Toast.success("done", {"en_us": "done"})
    shown = {"type": "success", "content": "done", "i18n": {"en_us": "done"}}
    raw = {"type": "raw", "data": card.to_dict()}
    assert answer_of(None) == {}
    assert answer_of(toast) == {"toast": shown}
    assert answer_of(card) == {"card": raw}
    assert answer_of((toast, card)) == {"toast": shown, "card": raw}
    assert answer_of(Link("T", card)) == {"inline": {"title": "T"}, "card": raw}


@pytest.mark.parametrize("wrong", ["text", 5, {}, (Card.of(), Toast.info("x")), (Toast.info("x"),)])
def test_other_answers_are_refused_before_feishu_does(wrong: Any) -> None:
    with pytest.raises(Misused, match="a callback is answered with"):
        answer_of(wrong)


async def test_callback_answers() -> None:
    bot = Bot()

    @bot.card("toast")
    async def toast(action: CardAction, ctx: Context) -> Toast:
        return Toast.info("x")

    @bot.card("quiet")
    async def quiet(action: CardAction, ctx: Context) -> None:
        await ctx.reply("beside")

    @bot.preview("x")
    async def preview(preview: Preview, ctx: Context) -> Link:
        return Link(preview.url)

    test = BotTest(bot)
    assert await test.card("toast") == {"toast": {"type": "info", "content": "x"}}
    assert await test.card("quiet") == {}
    assert [one.content for one in test.replies] == ["beside"]
    assert await test.preview("https://x.test") == {"inline": {"title": "https://x.test"}}


async def test_retry_and_drop_are_outcomes() -> None:
    bot = Bot()

    @bot.command("retry")
    async def retry(message: Message, ctx: Context) -> None:
        raise Retry("1m", reason="busy")

    @bot.command("drop")
    async def drop(message: Message, ctx: Context) -> None:
        raise Drop("not mine")

    @bot.error()
    async def never(error: Exception, ctx: Context) -> str:
        return "never"

    test = BotTest(bot)
    assert await test.message("retry") == []
    assert isinstance(test.outcome, Retry)
    assert (test.outcome.after, test.outcome.reason) == (60.0, "busy")
    assert await test.message("drop") == []
    assert isinstance(test.outcome, Drop)
    assert test.outcome.reason == "not mine"


def test_retry_reads_spans() -> None:
    assert Retry().after is None
    assert Retry(after=5).after == 5.0
    assert Retry(after="500ms").after == 0.5
    with pytest.raises(ValueError, match="span"):
        Retry(after="soon")


def failing(error: Exception) -> Bot[Any]:
    bot = Bot()

    @bot.command("a")
    async def command(message: Message, ctx: Context) -> None:
        raise error

    @bot.card("a")
    async def card(action: CardAction, ctx: Context) -> None:
        raise error

    @bot.preview()
    async def preview(preview: Preview, ctx: Context) -> Link:
        raise error

    @bot.cron("0 9 * * *")
    async def cron(tick: CronTick, ctx: Context) -> None:
        raise error

    return bot


async def test_error_nobody_takes_comes_through() -> None:
    test = BotTest(failing(KeyError("x")))
    with pytest.raises(KeyError):
        await test.message("a")
    assert test.outcome is None


async def test_error_handler_speaks_in_the_handlers_place() -> None:
    bot = failing(KeyError("x"))

    @bot.error(KeyError)
    async def rescue(error: KeyError, ctx: Context) -> str:
        return f"sorry: {error.args[0]}"

    test = BotTest(bot)
    assert await test.message("a") == ["sorry: x"]
    assert await test.card("a") == {"toast": {"type": "error", "content": "sorry: x"}}
    assert await test.preview("https://x.test") == {}
    assert await test.cron("cron") == []
    assert isinstance(test.outcome, Done)


async def test_error_handlers_toast_and_card_fit_messages_too() -> None:
    bot = failing(KeyError("x"))
    bot.error(KeyError)(_toast_and_card)
    assert await BotTest(bot).message("a") == [Card.of(title="c").to_dict()]
    assert set(await BotTest(bot).card("a")) == {"toast", "card"}


async def _toast_and_card(error: Exception, ctx: Context) -> tuple[Toast, Card]:
    return Toast.error("t"), Card.of(title="c")


async def test_error_handler_may_ask_for_a_retry_and_may_fail() -> None:
    bot = failing(KeyError("x"))

    @bot.error(KeyError)
    async def rescue(error: KeyError, ctx: Context) -> None:
        if ctx.attempt == 1:
            raise Retry(after=5)
        raise OSError("worse")

    test = BotTest(bot)
    await test.message("a")
    assert isinstance(test.outcome, Retry)
    with pytest.raises(OSError, match="worse") as raised:
        await test.message("a", attempt=2)
    assert isinstance(raised.value.__context__, KeyError)


@pytest.mark.parametrize("error", [Fenced("lost"), StoreUnavailable("gone")])
async def test_errors_of_the_hub_pass_a_catch_all(error: Exception) -> None:
    bot = failing(error)

    @bot.error()
    async def rescue(error: Exception, ctx: Context) -> str:
        return "never"

    with pytest.raises(type(error)):
        await BotTest(bot).message("a")


async def test_wrong_answer_of_an_error_handler_names_it() -> None:
    bot: Any = failing(KeyError("x"))

    async def rescue(error: Exception, ctx: Context) -> Any:
        return 5

    bot.error()(rescue)
    with pytest.raises(Misused, match="handler rescue"):
        await BotTest(bot).message("a")
