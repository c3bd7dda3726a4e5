"""The outbox in Redis: put once, in order, later; begun, sent, failed, cancelled; many counted together."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pytest

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import Fenced
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.outbound import SendName
from app.queue.depths import Depths
from app.queue.envelope import CALL_PREFIX, Entry
from app.queue.leases import Leases
from app.queue.outbox import KEPT, OutboxQueue, Settled
from app.queue.outgoing import Kept, MessageState, Outgoing
from app.queue.work import Work
from tests.waiting import until

NAME = SendName("echo", "m1", 0, "im.message.create", "oc_1", 1)


@pytest.fixture
def queue(link: RedisLink, keys: Keys, no_key_without_ttl: None) -> OutboxQueue:
    return OutboxQueue(link, keys)


def outgoing(
    message: str,
    chat: str = "oc_1",
    *,
    due: float = 0.0,
    fingerprint: bytes = b"f",
    batch: str = "",
    ahead: bool = True,
) -> Outgoing:
    conversation = f"{CALL_PREFIX if ahead else ''}chat_id:{chat}"
    entry = Entry("out", message, message, "text", conversation, chat, "", "", 1_700_000_000.0, 0, b"sealed")
    return Outgoing(entry, due, fingerprint, batch)


async def put(queue: OutboxQueue, *messages: Outgoing, room: int = 1000) -> list[str]:
    return [kept.how for kept in await queue.put("echo", messages, room)]


async def taken(queue: OutboxQueue, owner: str = "n1:out", many: int = 10) -> list[Work]:
    return await queue.mailbox.take("echo", owner, many, calls=10)


async def state(queue: OutboxQueue, message: str = "m1") -> MessageState:
    found = await queue.state("echo", message)
    assert found is not None
    return found


async def test_a_message_is_put_once_for_its_id(queue: OutboxQueue) -> None:
    assert await put(queue, outgoing("m1"), outgoing("m1")) == ["queued", "known"]
    assert await queue.fingerprint("echo", "m1") == b"f"
    [again] = await queue.put("echo", [outgoing("m1", fingerprint=b"another")], 1000)
    assert again.fingerprint == b"f"
    assert await queue.depth("echo") == 1
    assert await queue.mailbox.next_bot(0.1) == "echo"


async def test_the_way_of_a_message_leaves_only_its_state_behind(
    queue: OutboxQueue, link: RedisLink, keys: Keys
) -> None:
    await put(queue, outgoing("m1"), outgoing("m2"))
    assert (await state(queue)).state == "queued"
    [work] = await taken(queue)
    record = queue.record(work)
    assert (await record.begin(NAME)).since is None
    assert (await state(queue)).state == "sending"
    await record.record(NAME, "om_1")
    found = await state(queue)
    assert (found.state, found.message_id, found.is_final) == ("sent", "om_1", True)

    following = await queue.mailbox.delete(work)
    assert following is not None
    assert following.entry.event_id == "m2"
    await queue.record(following).fail("gone")
    assert await queue.mailbox.delete(following) is None

    assert await link.commands.ttl(keys.msg("echo", "m1")) > 3600
    assert not await link.commands.exists(keys.batch("echo", ""))
    box = keys.outbox()
    for part in ("log", "half", "claim", "lease", "tries", "due"):
        assert await link.commands.type(box.bot("echo", part)) in (b"none", b"stream"), part
    assert await link.commands.xlen(box.bot("echo", "log")) == 0


async def test_one_chat_waits_for_nobody_and_keeps_its_order(queue: OutboxQueue) -> None:
    await put(queue, outgoing("m1"), outgoing("m2"), outgoing("m3", "oc_2"))
    first, other = await taken(queue)
    assert (first.entry.event_id, other.entry.event_id) == ("m1", "m3")
    await put(queue, outgoing("m4", "oc_2"))
    assert await taken(queue, "n2:out") == []

    await queue.mailbox.retry(first, 3600)
    following = await queue.mailbox.delete(other)
    assert following is not None
    assert following.entry.event_id == "m4"
    assert await queue.mailbox.delete(following) is None
    assert await taken(queue) == []  # m2 stays behind m1


async def test_what_goes_to_many_is_taken_after_what_does_not(queue: OutboxQueue) -> None:
    await put(queue, *(outgoing(f"b-{n}", f"oc_{n}", ahead=False) for n in range(3)), outgoing("m1", "oc_9"))
    works = await taken(queue, many=1)
    assert [work.entry.event_id for work in works] == ["m1", "b-0"]


async def test_a_message_with_a_time_waits_for_it(queue: OutboxQueue, link: RedisLink, keys: Keys) -> None:
    await put(queue, outgoing("late", due=4_000_000_000.0), outgoing("soon", due=1.0))
    [work] = await taken(queue)
    assert work.entry.event_id == "soon"
    assert await queue.depth("echo") == 1  # what is not due does not wait
    late = await state(queue, "late")
    assert (late.state, late.due) == ("queued", 4_000_000_000.0)
    assert late.created == late.changed == pytest.approx(SYSTEM_CLOCK.now(), abs=60)
    depth = (await Depths(link, keys).read(["echo"]))["echo"]
    assert depth.to_send == 1
    assert 0 <= time.time() - (depth.to_send_since or 0) < 60

    later = keys.outbox().bot("echo", "later")
    [member] = cast(list[bytes], await link.commands.zrange(later, 0, 0))
    await link.commands.zincrby(later, -4_000_000_000_000.0, member)
    await Leases(link, keys.outbox()).sweep(["echo"])
    # The chat is claimed: the message that has become due stands behind the one under way.
    assert await taken(queue) == []
    following = await queue.mailbox.delete(work)
    assert following is not None
    assert following.entry.event_id == "late"


async def test_a_full_outbox_refuses(queue: OutboxQueue) -> None:
    assert await put(queue, outgoing("m1"), outgoing("m2"), outgoing("m1"), room=1) == ["queued", "full", "known"]
    assert await queue.state("echo", "m2") is None
    assert await queue.depth("echo") == 1


async def test_a_queued_message_is_cancelled_and_its_content_goes(
    queue: OutboxQueue, link: RedisLink, keys: Keys
) -> None:
    await put(queue, outgoing("m1"), outgoing("m2"), outgoing("later", due=4_000_000_000.0))
    assert await queue.cancel("echo", "m1") == "cancelled"
    assert await queue.cancel("echo", "later") == "cancelled"
    assert await queue.cancel("echo", "none") == ""

    assert await link.commands.xlen(keys.outbox().bot("echo", "log")) == 1
    assert await link.commands.zcard(keys.outbox().bot("echo", "later")) == 0
    [work] = await taken(queue)
    assert work.entry.event_id == "m2"
    assert await queue.depth("echo") == 1


async def test_what_is_being_sent_cannot_be_cancelled_and_what_was_cancelled_not_sent(queue: OutboxQueue) -> None:
    await put(queue, outgoing("m1"), outgoing("m2", "oc_2"))
    first, second = await taken(queue)
    await queue.record(first).begin(NAME)
    assert await queue.cancel("echo", "m1") == "sending"
    await queue.record(first).forget(NAME)
    assert await queue.cancel("echo", "m1") == "cancelled"

    assert await queue.cancel("echo", "m2") == "cancelled"
    with pytest.raises(Settled):
        await queue.record(second).begin(NAME)


async def test_a_second_owner_learns_that_it_was_begun_and_the_first_is_fenced(
    queue: OutboxQueue, link: RedisLink, keys: Keys
) -> None:
    await put(queue, outgoing("m1"))
    [first] = await taken(queue)
    await queue.record(first).begin(NAME)
    await Leases(link, keys.outbox()).abandon_node("n1", ["echo"])
    [second] = await taken(queue, "n2:out")

    assert (await queue.record(second).begin(NAME)).since == pytest.approx(SYSTEM_CLOCK.now(), abs=60)
    with pytest.raises(Fenced):
        await queue.record(first).record(NAME, "om_1")
    await queue.record(second).record(NAME, "om_1")
    assert (await queue.record(second).begin(NAME)).message_id == "om_1"


async def test_leases_are_extended_and_lost_ones_named(queue: OutboxQueue, link: RedisLink, keys: Keys) -> None:
    await put(queue, outgoing("m1"), outgoing("m2", "oc_2"))
    first, second = await taken(queue)
    leases = Leases(link, keys.outbox())
    await queue.mailbox.release(second)

    assert await leases.extend([first, second]) == [second]
    assert await leases.extend([]) == []


async def test_a_failed_message_says_why(queue: OutboxQueue) -> None:
    await put(queue, outgoing("m1"))
    [work] = await taken(queue)
    await queue.record(work).begin(NAME)
    await queue.record(work).fail("code 230002: the bot is not in the chat")
    await queue.record(work).fail("another word comes too late")

    found = await state(queue)
    assert (found.state, found.reason) == ("failed", "code 230002: the bot is not in the chat")


async def test_what_many_share_outlives_the_time_for_which_they_wait(
    queue: OutboxQueue, link: RedisLink, keys: Keys
) -> None:
    year = 366 * 86_400
    await queue.open_batch("echo", "b", b"f", 3, b"shared", due=SYSTEM_CLOCK.now() + year)
    assert await link.commands.ttl(keys.batch("echo", "b")) > year


async def test_many_are_counted_together_and_what_they_share_goes_with_the_last(
    queue: OutboxQueue, link: RedisLink, keys: Keys
) -> None:
    assert (await queue.open_batch("echo", "b", b"f", 3, b"shared")).how == "queued"
    assert await queue.open_batch("echo", "b", b"g", 3, b"shared") == Kept("known", b"f")
    assert await queue.fingerprint("echo", "b") == b"f"
    await put(queue, *(outgoing(f"b-{n}", f"oc_{n}", batch="b", ahead=False) for n in range(3)))
    first, second, _ = await taken(queue)
    await queue.record(first).begin(NAME)
    await queue.record(first).record(NAME, "om_1")
    await queue.record(second).fail("gone")

    found = await queue.batch("echo", "b")
    assert found is not None
    assert (found.total, found.sent, found.failed, found.cancelled, found.waiting) == (3, 1, 1, 0, 1)
    assert found.created == pytest.approx(SYSTEM_CLOCK.now(), abs=60)
    assert await queue.batch_content("echo", "b") == b"shared"
    assert await link.commands.ttl(keys.batch("echo", "b")) > KEPT
    await queue.cancel("echo", "b-2")
    found = await queue.batch("echo", "b")
    assert found is not None
    assert found.is_final
    assert found.cancelled == 1
    assert await queue.batch_content("echo", "b") is None
    assert await link.commands.ttl(keys.batch("echo", "b")) <= KEPT


async def test_changes_are_seen_until_the_end(queue: OutboxQueue) -> None:
    await put(queue, outgoing("m1"))
    seen: list[str] = []

    async def watch() -> None:
        async for found in queue.watch("echo", "m1"):
            seen.append(found.state)

    watching = asyncio.create_task(watch())
    await until(lambda: seen == ["queued"])
    [work] = await taken(queue)
    await queue.record(work).begin(NAME)
    await until(lambda: seen == ["queued", "sending"])
    await queue.record(work).record(NAME, "om_1")
    await watching
    assert seen == ["queued", "sending", "sent"]
    assert [found async for found in queue.watch("echo", "none")] == []
