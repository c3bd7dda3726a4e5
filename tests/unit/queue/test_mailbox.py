"""Taking and ending events, against a real engine."""

from __future__ import annotations

import asyncio
import signal

import pytest

from app.core.errors import Fenced, StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.queue.mailbox import Mailbox
from app.queue.work import Receipt, Work
from tests.ports import free_port
from tests.redis_servers import Server
from tests.unit.queue.incoming import incoming
from tests.waiting import PATIENCE, until


@pytest.fixture
def mailbox(link: RedisLink, keys: Keys) -> Mailbox:
    return Mailbox(link, keys)


def log_id(result: Receipt | StoreUnavailable) -> str:
    assert isinstance(result, Receipt)
    return result.log_id


async def taken(mailbox: Mailbox, bot: str = "echo", owner: str = "n1", limit: int = 10) -> list[Work]:
    return await mailbox.take(bot, owner, limit, calls=limit)


async def test_a_conversation_is_worked_through_in_order_by_whoever_has_it(mailbox: Mailbox) -> None:
    await mailbox.accept([incoming(f"e{n}") for n in range(5)])
    (work,) = await taken(mailbox)
    assert await taken(mailbox, owner="n2") == []  # one owner at a time
    await mailbox.accept([incoming("e5")])
    assert await taken(mailbox, owner="n2") == []

    order = [work.entry.event_id]
    following: Work | None = work
    while following is not None and (following := await mailbox.finish(following)) is not None:
        order.append(following.entry.event_id)

    assert order == ["e0", "e1", "e2", "e3", "e4", "e5"]
    assert await mailbox.depth("echo") == 0


async def test_what_was_accepted_comes_back_whole(mailbox: Mailbox) -> None:
    item = incoming("e1", message_id="om_1")
    await mailbox.accept([item])
    (work,) = await taken(mailbox)

    assert work.entry == item.entry
    assert (work.starts, work.failures, work.deaths) == (1, 0, 0)


async def test_taking_is_fair_over_bots(mailbox: Mailbox) -> None:
    await mailbox.accept([incoming(f"a{n}", bot="a", conversation=f"oc_a{n}") for n in range(50)])
    await mailbox.accept([incoming("b0", bot="b", conversation="oc_b")])

    turns = []
    while (bot := await mailbox.next_bot(0.05)) is not None:
        turns += [work.bot for work in await mailbox.take(bot, "n1", 1)]

    assert turns.index("b") == 1  # behind one of a's fifty, not behind all
    assert len(turns) == 51


async def test_next_bot_blocks_until_something_is_accepted(mailbox: Mailbox) -> None:
    waiting = asyncio.create_task(mailbox.next_bot(5))
    await mailbox.accept([incoming("e1")])

    assert await waiting == "echo"


async def test_a_callback_is_taken_before_everything_else(mailbox: Mailbox) -> None:
    await mailbox.accept([incoming(f"e{n}", conversation=f"oc_{n}") for n in range(3)])
    await mailbox.accept([incoming("c1", conversation="call:c1", kind="call")])

    (first,) = await mailbox.take("echo", "n1", 0, calls=1)

    assert first.entry.kind == "call"


async def test_a_bot_with_a_callback_comes_before_the_others(mailbox: Mailbox) -> None:
    call = incoming("c1", bot="b", conversation="call:c1", kind="call")
    await mailbox.accept([incoming("e1", bot="a"), call])

    assert await mailbox.next_bot(1) == "b"


async def test_finishing_twice_finishes_once(mailbox: Mailbox) -> None:
    await mailbox.accept([incoming(f"e{n}") for n in range(3)])
    (work,) = await taken(mailbox)
    first = await mailbox.finish(work)
    second = await mailbox.finish(work)  # as after a lost reply

    assert first is not None
    assert second is not None
    assert first.entry.event_id == second.entry.event_id == "e1"
    assert second.starts == 1
    assert await mailbox.depth("echo") == 2


async def test_the_last_event_of_a_conversation_can_bring_another_conversation(mailbox: Mailbox) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2"), incoming("e3", conversation="oc_2")])
    await mailbox.accept([incoming("c1", conversation="call:c1", kind="call")])
    (first,) = await mailbox.take("echo", "n1", 1)

    second = await mailbox.finish(first, another=True)
    assert second is not None
    assert (second.entry.event_id, second.claim) == ("e2", first.claim)  # its own comes before all others
    third = await mailbox.finish(second, another=True)
    assert third is not None
    assert (third.entry.event_id, third.conversation, third.owner, third.starts) == ("e3", "oc_2", "n1", 1)
    assert third.fence > first.fence
    assert await mailbox.finish(third, another=True) is None  # a callback has slots of its own

    assert [work.entry.event_id for work in await taken(mailbox)] == ["c1"]
    with pytest.raises(Fenced):
        await mailbox.finish(first)


async def test_events_that_are_gone_from_the_log_are_passed_over(mailbox: Mailbox, link: RedisLink, keys: Keys) -> None:
    gone = [log_id(one) for one in await mailbox.accept([incoming(f"e{n}") for n in range(6)])]
    (started,) = await taken(mailbox)
    await mailbox.release(started)
    await link.commands.xdel(keys.bot("echo", "log"), *gone[0:2], *gone[3:5])
    (work,) = await taken(mailbox)
    following = await mailbox.finish(work)

    assert following is not None
    assert (work.entry.event_id, following.entry.event_id) == ("e2", "e5")
    assert await mailbox.depth("echo") == await link.commands.hlen(keys.bot("echo", "tries")) == 1


async def test_another_conversation_without_mail_is_passed_over(mailbox: Mailbox, link: RedisLink, keys: Keys) -> None:
    receipts = await mailbox.accept([incoming(f"e{n}", conversation=f"oc_{n}") for n in range(3)])
    (first,) = await mailbox.take("echo", "n1", 1)
    await link.commands.xdel(keys.bot("echo", "log"), log_id(receipts[1]))

    after = await mailbox.finish(first, another=True)

    assert after is not None
    assert after.conversation == "oc_2"
    assert await mailbox.depth("echo") == 1
    assert await link.commands.hkeys(keys.bot("echo", "claim")) == [b"oc_2"]


async def test_nothing_is_left_behind_in_redis_when_all_is_handled(
    mailbox: Mailbox, link: RedisLink, keys: Keys
) -> None:
    await mailbox.accept([incoming(f"e{n}", conversation=f"oc_{n % 3}") for n in range(9)])
    for work in await taken(mailbox):
        following: Work | None = work
        while following is not None:
            following = await mailbox.finish(following)

    left = {key async for key in link.commands.scan_iter(match=f"{keys.prefix}*")}
    names = {key.decode().removeprefix(keys.root("echo")).split(":")[0] for key in left}
    # The log waits for the archiver, marks have a time to live, the fence never goes back, a token may be stale.
    assert names - {keys.wake.split(":")[0]} <= {"seen", "log", "half", "depth", "fence"}


async def test_a_redis_that_hangs_or_becomes_a_replica_ends_a_read_that_waits(keys: Keys) -> None:
    with Server("--save", "", port=free_port()) as server:
        link = await connect(server.url)
        waiting = asyncio.create_task(Mailbox(link, keys).next_bot(30))
        await until(lambda: blocked_clients(link))
        await link.commands.execute_command("REPLICAOF", "127.0.0.1", str(free_port()))
        with pytest.raises(StoreUnavailable):
            await waiting
        server.signal(signal.SIGSTOP)
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(Mailbox(link, keys).next_bot(0.1), PATIENCE)
        server.signal(signal.SIGCONT)
        await link.close()


async def blocked_clients(link: RedisLink) -> bool:
    return bool((await link.commands.info("clients"))["blocked_clients"])


async def test_callbacks_leave_their_bot_no_more_turns_than_others(
    mailbox: Mailbox, link: RedisLink, keys: Keys
) -> None:
    await mailbox.accept([incoming(f"e{n}", conversation=f"oc_{n}") for n in range(9)])
    for n in range(9):
        await mailbox.accept([incoming(f"c{n}", conversation=f"call:c{n}", kind="call")])
        assert await Mailbox(link, keys).next_bot(1) == "echo"
        assert len(await mailbox.take("echo", "n1", 0, calls=1)) == 1

    assert await link.commands.lrange(keys.wake, 0, -1) == [b"echo"]
