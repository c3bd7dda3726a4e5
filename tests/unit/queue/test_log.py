"""The archiver's view: every entry once, deleted when handled and archived, whichever comes first."""

from __future__ import annotations

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.log import EventLog, Read
from app.queue.mailbox import Mailbox
from app.queue.work import Work
from tests.unit.queue.incoming import incoming


async def archive(log: EventLog, entries: list[Read]) -> None:
    await log.done(entries)


async def test_entries_are_read_once_from_before_the_group_was(link: RedisLink, keys: Keys) -> None:
    await Mailbox(link, keys).accept([incoming("e1"), incoming("e2", bot="support")])
    log = EventLog(link, keys)

    found = await log.read(["echo", "support"], "a1", 10, 10)

    assert {(bot, entry.event_id) for bot, _, entry in found} == {("echo", "e1"), ("support", "e2")}
    assert await log.read(["echo", "support"], "a1", 10, 10) == []


async def test_handled_then_archived_leaves_nothing(link: RedisLink, keys: Keys) -> None:
    mailbox, log = Mailbox(link, keys), EventLog(link, keys)
    await mailbox.accept([incoming("e1")])
    (work,) = await mailbox.take("echo", "n1", 1)
    await mailbox.finish(work)
    assert await link.commands.xlen(keys.bot("echo", "log")) == 1
    await archive(log, await log.read(["echo"], "a1", 10, 10))

    assert await link.commands.xlen(keys.bot("echo", "log")) == 0
    assert not await link.commands.exists(keys.bot("echo", "half"))


async def test_archived_then_handled_leaves_nothing(link: RedisLink, keys: Keys) -> None:
    mailbox, log = Mailbox(link, keys), EventLog(link, keys)
    await mailbox.accept([incoming("e1")])
    await archive(log, await log.read(["echo"], "a1", 10, 10))
    assert await link.commands.xlen(keys.bot("echo", "log")) == 1
    (work,) = await mailbox.take("echo", "n1", 1)
    await mailbox.finish(work)

    assert await link.commands.xlen(keys.bot("echo", "log")) == 0
    assert not await link.commands.exists(keys.bot("echo", "half"))


async def test_a_sent_message_is_gone_when_it_is_archived(link: RedisLink, keys: Keys) -> None:
    log, sent = EventLog(link, keys), incoming("e1").entry._replace(kind="sent")
    await log.append_sent("echo", sent)
    found = await log.read(["echo"], "a1", 10, 10)
    assert [entry for _, _, entry in found] == [sent]
    await archive(log, found)

    assert await link.commands.xlen(keys.bot("echo", "log")) == 0
    assert not await link.commands.exists(keys.bot("echo", "half"))


async def test_entries_of_several_bots_are_ticked_off_at_once(link: RedisLink, keys: Keys) -> None:
    mailbox, log, bots = Mailbox(link, keys), EventLog(link, keys), ["echo", "support"]
    await mailbox.accept([incoming("e1"), incoming("e2"), incoming("e3", bot="support")])
    for bot in bots:
        for work in await mailbox.take(bot, "n1", 9):
            next_one: Work | None = work
            while next_one is not None:
                next_one = await mailbox.finish(next_one)
    found = await log.read(bots, "a1", 10, 10)
    await log.done([read for read in found if read[2].event_id != "e2"])

    assert [await link.commands.xlen(keys.bot(bot, "log")) for bot in bots] == [1, 0]
    [(bot, _, entry)] = await log.left_behind(bots, "a1", 10)
    assert (bot, entry.event_id) == ("echo", "e2")


async def test_what_an_archiver_left_unfinished_is_found_again(link: RedisLink, keys: Keys) -> None:
    await Mailbox(link, keys).accept([incoming("e1")])
    await EventLog(link, keys).read(["echo"], "a1", 10, 10)

    again = await EventLog(link, keys).left_behind(["hr", "echo"], "a1", 10)

    assert [entry.event_id for _, _, entry in again] == ["e1"]
    assert await EventLog(link, keys).left_behind(["hr"], "a1", 10) == []


async def test_a_group_that_redis_forgot_is_made_again_from_the_beginning(link: RedisLink, keys: Keys) -> None:
    log = EventLog(link, keys)
    await log.read(["echo"], "a1", 10, 10)
    await link.commands.delete(keys.bot("echo", "log"))
    await Mailbox(link, keys).accept([incoming("e1")])

    assert await log.read(["echo"], "a1", 10, 10) == []
    found = await log.read(["echo"], "a1", 10, 10)
    assert [entry.event_id for _, _, entry in found] == ["e1"]
    assert await log.lag(["echo"]) == 1
