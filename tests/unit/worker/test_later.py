"""`ctx.send(..., later=True)` puts a message on the outbox once, however often its event is handled."""

from __future__ import annotations

from typing import Any

from app.queue.envelope import CALL_PREFIX
from app.sdk import Bot, Context, Message, Retry
from app.worker.context import EventVerbs, Means
from app.worker.reminders import Reminders
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import message, spec
from tests.waiting import until


async def test_an_event_that_is_handled_twice_puts_its_messages_once(site: Site) -> None:
    bot = Bot()
    given: list[list[str]] = []

    @bot.message()
    async def tell(message: Message, ctx: Context) -> None:
        ids = [await ctx.send(chat, "later", later=True) for chat in ("oc_9", "oc_9", "ou_2")]
        given.append(ids)
        if ctx.attempt == 1:
            raise Retry("1ms")

    site.add(bot)
    await site.accept(message(1, "tell", site.cipher))
    await site.worker()

    async def twice() -> bool:
        await site.leases.sweep(["echo"])
        return len(given) == 2

    await until(twice)

    assert given[0] == given[1]
    assert len(set(given[0])) == 3
    works = await site.outbox.queue.mailbox.take("echo", "n:b:out", 10, calls=10)
    assert sorted(work.conversation for work in works) == [f"{CALL_PREFIX}chat_id:oc_9", f"{CALL_PREFIX}open_id:ou_2"]
    assert await site.outbox.queue.depth("echo") == 3
    letter = await site.outbox.open(next(work for work in works if "oc_9" in work.conversation))
    assert (letter.message.msg_type, letter.message.content, letter.priority) == ("text", '{"text":"later"}', "send")
    assert site.mouth.said == []


async def test_a_hook_says_it_at_each_start(site: Site) -> None:
    parts = site.parts()
    means = Means(parts.sender, parts.ledgers, parts.tasks, parts.cache, parts.outbox, Reminders(parts.timetable))

    def hook() -> Any:
        return EventVerbs(means, spec(), site.cipher, None, None, "start")

    first, second = await hook().send("oc_1", "up", later=True), await hook().send("oc_1", "up", later=True)
    assert first != second
    assert await site.outbox.queue.depth("echo") == 2
