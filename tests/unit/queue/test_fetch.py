"""Waiting for work and taking it in one round trip, against a real engine."""

from __future__ import annotations

import asyncio
import signal

import pytest

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.queue.fetch import Fetch, Room
from app.queue.leases import Leases
from app.queue.mailbox import Mailbox
from tests.ports import free_port
from tests.redis_servers import Server
from tests.unit.queue.incoming import incoming
from tests.waiting import PATIENCE

WIDE = Room(8, 4)


@pytest.fixture
def mailbox(link: RedisLink, keys: Keys) -> Mailbox:
    return Mailbox(link, keys)


@pytest.fixture
def fetch(link: RedisLink, keys: Keys, mailbox: Mailbox) -> Fetch:
    return Fetch(link, keys, mailbox)


async def test_who_waits_gets_the_event_started_and_the_token_is_used_up(
    fetch: Fetch, mailbox: Mailbox, link: RedisLink, keys: Keys
) -> None:
    waiting = asyncio.create_task(fetch.next("n1", 5, WIDE))
    item = incoming("e1", message_id="om_1")
    await mailbox.accept([item])
    [work], tokens = await waiting

    assert (work.bot, work.owner, work.entry, work.starts, work.deaths) == ("echo", "n1", item.entry, 1, 0)
    assert tokens == []
    assert not await link.commands.exists(keys.wake, keys.woken)
    assert await mailbox.finish(work) is None
    assert await mailbox.depth("echo") == 0


async def test_of_two_who_wait_one_gets_it(fetch: Fetch, mailbox: Mailbox) -> None:
    waiting = [asyncio.create_task(fetch.next(owner, 0.3, WIDE)) for owner in ("n1", "n2")]
    await mailbox.accept([incoming("e1")])

    assert sorted(len(works) for works, _ in await asyncio.gather(*waiting)) == [0, 1]


async def test_bots_take_turns(fetch: Fetch, mailbox: Mailbox) -> None:
    await mailbox.accept([incoming(f"a{n}", bot="a", conversation=f"oc_a{n}") for n in range(5)])
    await mailbox.accept([incoming("b0", bot="b", conversation="oc_b")])
    turns = []
    for _ in range(3):
        works, _ = await fetch.next("n1", 0.05, Room(2, 4))
        turns.append([work.bot for work in works])

    assert turns == [["a", "a", "b"], ["a", "a"], ["a"]]
    assert await fetch.next("n1", 0.05, WIDE) == ([], [])


async def test_many_bots_with_one_each_come_as_one_with_many(fetch: Fetch, mailbox: Mailbox) -> None:
    await mailbox.accept([incoming(f"e{n}", bot=f"bot{n}") for n in range(70)])
    works, tokens = await fetch.next("n1", 5, Room(8, 4, {"bot1": (0, 0)}))

    # As many as one round trip takes, in their order; the token that was handed out was one of them.
    assert [work.bot for work in works] == [f"bot{n}" for n in range(64) if n != 1]
    assert tokens == ["bot1"]
    works, _ = await fetch.next("n1", 5, WIDE)
    assert [work.bot for work in works] == [f"bot{n}" for n in range(64, 70)]


async def test_a_bot_with_no_room_is_left_alone_and_its_token_handed_out(fetch: Fetch, mailbox: Mailbox) -> None:
    await mailbox.accept([incoming("e1"), incoming("e2", bot="support"), incoming("e3", conversation="oc_2")])
    works, tokens = await fetch.next("n1", 5, Room(8, 4, {"echo": (0, 0)}))

    assert [work.bot for work in works] == ["support"]
    assert tokens == ["echo"]
    assert await fetch.next("n1", 0.05, WIDE) == ([], []), "the token was handed out"
    assert [work.starts for work in await mailbox.take("echo", "n1", 9)] == [1, 1]


async def test_callbacks_come_first_and_have_room_of_their_own(fetch: Fetch, mailbox: Mailbox) -> None:
    await mailbox.accept([incoming(f"e{n}", conversation=f"oc_{n}") for n in range(2)])
    await mailbox.accept([incoming(f"c{n}", conversation=f"call:c{n}", kind="call") for n in range(3)])
    works, _ = await fetch.next("n1", 5, Room(1, 2))

    assert [work.entry.kind for work in works] == ["call", "call", "event"]
    works, _ = await fetch.next("n1", 5, Room(1, 0, {"echo": (0, 4)}))
    assert [work.entry.kind for work in works] == ["call"]


async def test_a_token_that_somebody_died_with_is_the_next_ones(
    fetch: Fetch, mailbox: Mailbox, link: RedisLink, keys: Keys
) -> None:
    await mailbox.accept([incoming("e1")])
    await link.commands.lmove(keys.wake, keys.woken)
    works, _ = await fetch.next("n1", 0.05, WIDE)

    assert [work.entry.event_id for work in works] == ["e1"]


@pytest.mark.parametrize("key", ["ready", "lease"])
async def test_a_bot_whose_keys_are_damaged_is_left_out_and_goes_on_when_they_are_mended(
    fetch: Fetch, mailbox: Mailbox, link: RedisLink, keys: Keys, key: str
) -> None:
    await mailbox.accept([incoming("e1", bot="damaged"), incoming("e2")])
    whole = await link.commands.lrange(keys.bot("damaged", "ready"), 0, -1)
    await link.commands.set(keys.bot("damaged", key), "of another type")
    works, _ = await fetch.next("n1", 5, WIDE)
    assert [work.entry.event_id for work in works] == ["e2"]

    await link.commands.delete(keys.bot("damaged", key))
    if key == "ready":
        await link.commands.rpush(keys.bot("damaged", key), *whole)
    await Leases(link, keys).sweep(["damaged"])
    works, _ = await fetch.next("n1", 5, WIDE)
    assert [work.entry.event_id for work in works] == ["e1"]


async def test_scripts_that_redis_forgot_are_taught_again(fetch: Fetch, mailbox: Mailbox, link: RedisLink) -> None:
    await mailbox.accept([incoming("e1")])
    await link.commands.script_flush()
    works, _ = await fetch.next("n1", 5, WIDE)

    assert [work.entry.event_id for work in works] == ["e1"]


async def test_a_redis_that_hangs_ends_a_read_that_waits(keys: Keys) -> None:
    with Server("--save", "", port=free_port()) as server:
        link = await connect(server.url)
        server.signal(signal.SIGSTOP)
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(Fetch(link, keys, Mailbox(link, keys)).next("n1", 0.1, WIDE), PATIENCE)
        server.signal(signal.SIGCONT)
        await link.close()
