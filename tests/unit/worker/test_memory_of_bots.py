"""State, tasks and cache as a handler has them: on a real queue, sealed, and the same in BotTest."""

from __future__ import annotations

from typing import Any

import pytest

from app.queue.tasks import Tasks, task_aad
from app.sdk import Bot, BotTest, Context, Message
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import message
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


def remembering(seen: list[Any]) -> Bot[Any]:
    """A bot that tells what the verbs gave, step by step."""
    bot = Bot()

    @bot.message()
    async def remember(message: Message, ctx: Context) -> None:
        state = ctx.state.bot
        seen.append(await state.incr("n", ttl="1h"))
        seen.append(await state.incr("n", 4))
        seen.append(3500 < (await state.ttl("n") or 0) <= 3600)
        seen.append(await state.compare_and_set("n", 4, 9))
        seen.append(await state.compare_and_set("n", 5, [1, "王"]))
        seen.append(await state.get("n"))
        seen.append(await state.ttl("n"))
        seen.append(await state.compare_and_set("new", None, True))
        seen.append(await state.compare_and_set("new", 1, False))
        try:
            await state.incr("n")
        except TypeError as error:
            seen.append(str(error))
        await ctx.task("report-1").update("running", 0.5, "秘密")
        await ctx.task("report-1").update("done", keep="1h")

        async def load() -> dict[str, str]:
            seen.append("loaded")
            return {"name": "王"}

        for _ in range(2):
            seen.append(await ctx.cache.get_or_load("who", load))
        seen.append(await ctx.cache.get("nothing", "default"))

    return bot


EXPECTED = [
    *(1, 5, True, False, True, [1, "王"], None, True, False),
    "the value at 'n' is a list, not a whole number",
    *("loaded", {"name": "王"}, {"name": "王"}, "default"),
]


async def test_a_worker_remembers(site: Site) -> None:
    seen: list[Any] = []
    site.add(remembering(seen))
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    await until(site.done)
    assert seen == EXPECTED
    [task] = await Tasks(site.link, site.keys).list("echo")
    assert (task.id, task.status, task.progress) == ("report-1", "done", 0.5)
    assert site.cipher.open(task.note, task_aad("report-1")).decode() == "秘密"
    redis = site.link.commands
    values = [await redis.dump(name) async for name in redis.scan_iter(f"{site.keys.prefix}*")]
    assert not any("王".encode() in value or "秘密".encode() in value for value in values if value)


async def test_additions_of_many_conversations_are_all_counted(site: Site) -> None:
    bot = Bot()

    @bot.message()
    async def count(message: Message, ctx: Context) -> None:
        for _ in range(5):
            await ctx.state.bot.incr("n")

    site.add(bot)
    await site.accept(*(message(n, "x", site.cipher, chat=f"oc_{n}") for n in range(1, 13)))
    for _ in range(2):
        await site.worker()
    await until(site.done)
    sums: list[int] = []
    last = Bot()

    @last.message()
    async def read(message: Message, ctx: Context) -> None:
        sums.append(await ctx.state.bot.get("n"))

    site.add(last, revision="2")
    await site.accept(message(99, "x", site.cipher))
    await until(lambda: sums)
    assert sums == [60]


async def test_bot_test_remembers_the_same() -> None:
    seen: list[Any] = []
    test = BotTest(remembering(seen))
    await test.message("x")
    assert seen == EXPECTED
    assert test.tasks["report-1"].status == "done"
    assert test.tasks["report-1"].note == "秘密"


@pytest.mark.parametrize(
    ("id", "status", "progress"), [("a b", "done", 1), ("", "done", 1), ("a", "over", 1), ("a", "done", 2)]
)
async def test_a_task_that_cannot_be_is_refused(id: str, status: Any, progress: float) -> None:
    bot = Bot()

    @bot.message()
    async def wrong(message: Message, ctx: Context) -> None:
        await ctx.task(id).update(status, progress)

    with pytest.raises(ValueError, match=r"no id|no status|outside"):
        await BotTest(bot).message("x")
