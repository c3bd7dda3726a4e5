"""Letting a conversation go: for a retry, for later, back to the others; and who may not say so any more."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.errors import Fenced
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.leases import Leases
from app.queue.mailbox import Mailbox
from app.queue.work import Work
from tests.unit.queue.incoming import incoming


@pytest.fixture
def mailbox(link: RedisLink, keys: Keys) -> Mailbox:
    return Mailbox(link, keys)


async def taken(mailbox: Mailbox, bot: str = "echo", owner: str = "n1", limit: int = 10) -> list[Work]:
    return await mailbox.take(bot, owner, limit, calls=limit)


async def test_who_lets_go_gets_no_other_conversation_and_stands_behind_them(
    mailbox: Mailbox, link: RedisLink, keys: Keys
) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2"), incoming("e3", conversation="oc_2")])
    (first,) = await mailbox.take("echo", "n1", 1)

    assert await mailbox.finish(first, go_on=False, another=True) is None
    assert await Leases(link, keys).abandon("n1", ["echo"]) == 0, "it is nobody's now"
    assert [work.entry.event_id for work in await taken(mailbox)] == ["e3", "e2"]


async def test_what_was_let_go_wakes_somebody_once(mailbox: Mailbox) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2"), incoming("e3", conversation="oc_2")])
    assert await mailbox.next_bot(1) == "echo"
    first, second = await taken(mailbox)
    await mailbox.finish(first, go_on=False)
    await mailbox.release(second)

    assert await mailbox.next_bot(1) == "echo"
    assert await mailbox.next_bot(0.01) is None
    (second, _) = await taken(mailbox)
    await mailbox.release(second)
    assert await mailbox.next_bot(1) == "echo"


async def test_a_retry_holds_its_conversation_and_counts(mailbox: Mailbox, link: RedisLink, keys: Keys) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2")])
    (work,) = await taken(mailbox)
    await mailbox.retry(work, 0.001)
    with pytest.raises(Fenced):
        await mailbox.finish(work)
    await mailbox.accept([incoming("e3")])
    assert await taken(mailbox) == []  # nobody overtakes

    leases = Leases(link, keys)
    while (await leases.sweep(["echo"])).retries == 0:
        pass
    (again,) = await taken(mailbox)

    assert (again.entry.event_id, again.starts, again.failures, again.deaths) == ("e1", 2, 1, 0)
    assert again.held == pytest.approx(0.001)


async def test_later_lets_the_conversation_go_on(mailbox: Mailbox, link: RedisLink, keys: Keys) -> None:
    async def due() -> None:
        while (await Leases(link, keys).sweep(["echo"])).later == 0:
            pass
        assert (await Leases(link, keys).sweep(["echo"])).later == 0, "it comes back once"

    await mailbox.accept([incoming("e1"), incoming("e2")])
    (work,) = await taken(mailbox)
    following = await mailbox.later(work, 0.001)
    assert following is not None
    assert following.entry.event_id == "e2"
    await due()
    assert await taken(mailbox) == []  # it stands behind the one under way

    again = await mailbox.finish(following)
    assert again is not None
    assert (again.entry.event_id, again.starts, again.failures) == ("e1", 2, 1)
    assert await mailbox.later(again, 0.001) is None
    await due()
    (again,) = await taken(mailbox)
    assert (again.entry.event_id, again.starts, again.failures) == ("e1", 3, 2)
    await mailbox.later(again, 60.0)
    waiting: Any = await link.commands.zrange(keys.bot("echo", "later"), 0, -1, withscores=True)
    assert waiting[0][1] / 1000 == pytest.approx((await link.commands.time())[0] + 60, abs=10)
    assert await mailbox.depth("echo") == 1


async def test_release_hands_back_as_if_never_taken(mailbox: Mailbox) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2")])
    await mailbox.accept([incoming("c1", conversation="call:c1", kind="call")])
    call, first, second = await taken(mailbox)
    for work in (second, first, call):
        await mailbox.release(work)

    again = await mailbox.take("echo", "n2", 1, calls=1)
    assert [(work.entry.event_id, work.starts, work.deaths) for work in again] == [("c1", 1, 0), ("e1", 1, 0)]


async def test_who_hands_back_an_event_that_was_ended_hands_back_the_one_behind_it(
    mailbox: Mailbox, link: RedisLink, keys: Keys
) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2")])
    (work,) = await taken(mailbox)
    await mailbox.finish(work)  # its reply is lost, and the worker has to leave
    await mailbox.release(work)

    (following,) = await taken(mailbox, owner="n2")
    assert (following.entry.event_id, following.starts, following.deaths) == ("e2", 1, 0)
    await mailbox.finish(following)
    assert not await link.commands.exists(keys.bot("echo", "tries"))


@pytest.mark.parametrize("seconds", [1e300, 1e14], ids=["no number of milliseconds", "more than Redis takes"])
async def test_later_takes_any_span(mailbox: Mailbox, seconds: float) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2")])
    (work,) = await taken(mailbox)
    following = await mailbox.later(work, seconds)

    assert following is not None
    assert following.entry.event_id == "e2"
    assert await mailbox.depth("echo") == 2


async def test_a_death_is_counted_where_no_end_was_told(mailbox: Mailbox, link: RedisLink, keys: Keys) -> None:
    await mailbox.accept([incoming("e1")])
    for deaths in range(3):
        (work,) = await taken(mailbox, owner=f"n{deaths}")
        assert work.deaths == deaths
        await Leases(link, keys).abandon(f"n{deaths}", ["echo"])


async def test_a_worker_that_was_only_asleep_does_no_harm(mailbox: Mailbox, link: RedisLink, keys: Keys) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2")])
    (asleep,) = await taken(mailbox, owner="n1")
    await Leases(link, keys).abandon("n1", ["echo"])
    (awake,) = await taken(mailbox, owner="n2")

    assert awake.entry.event_id == "e1"
    assert awake.fence > asleep.fence
    for step in (
        mailbox.finish(asleep),
        mailbox.retry(asleep, 1),
        mailbox.bury(asleep, "no"),
        mailbox.release(asleep),
    ):
        with pytest.raises(Fenced):
            await step
    following = await mailbox.finish(awake)
    assert following is not None
    assert following.entry.event_id == "e2"
