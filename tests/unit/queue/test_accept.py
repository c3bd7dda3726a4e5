"""Accepting events, against a real engine."""

from __future__ import annotations

import pytest

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.queue.mailbox import Mailbox
from app.queue.work import Receipt
from tests.redis_servers import Server
from tests.unit.queue.incoming import incoming, statuses


@pytest.fixture
def mailbox(link: RedisLink, keys: Keys) -> Mailbox:
    return Mailbox(link, keys)


def log_id(result: Receipt | StoreUnavailable) -> str:
    assert isinstance(result, Receipt)
    return result.log_id


async def test_a_batch_gets_a_result_for_each_event_in_order(mailbox: Mailbox) -> None:
    receipts = await mailbox.accept([incoming("e1"), incoming("e2"), incoming("e1")])

    assert statuses(receipts) == ["accepted", "accepted", "duplicate"]
    assert log_id(receipts[2]) == log_id(receipts[0])


async def test_either_dedup_identity_is_enough_to_drop_a_duplicate(
    mailbox: Mailbox, link: RedisLink, keys: Keys
) -> None:
    await mailbox.accept([incoming("e1", message_id="om_1")])

    again = await mailbox.accept([incoming("e2", message_id="om_1"), incoming("e1", message_id="om_2")])

    assert statuses(again) == ["duplicate", "duplicate"]
    for mark in ("e1", "om_1"):
        assert 590 < await link.commands.ttl(keys.seen("echo", mark)) <= 600


async def test_the_same_id_of_two_bots_is_two_events(mailbox: Mailbox) -> None:
    receipts = await mailbox.accept([incoming("e1", bot="a"), incoming("e1", bot="b")])

    assert statuses(receipts) == ["accepted", "accepted"]


async def test_what_redis_refuses_of_one_bot_keeps_no_others_out(mailbox: Mailbox, link: RedisLink, keys: Keys) -> None:
    await link.commands.set(keys.bot("damaged", "ready"), "not a list")
    batch = [incoming("e1"), incoming("e1", bot="damaged"), incoming("e2")._replace(ttl=10**20), incoming("e3")]

    assert statuses(await mailbox.accept(batch)) == ["accepted", "refused", "refused", "accepted"]
    await link.commands.delete(keys.bot("damaged", "ready"))
    assert statuses(await mailbox.accept([incoming("e4", bot="damaged")])) == ["accepted"]


async def test_what_stands_in_no_mailbox_is_not_counted(mailbox: Mailbox, link: RedisLink, keys: Keys) -> None:
    await link.commands.set(keys.bot("echo", "mail:oc_1"), "not a list")

    assert statuses(await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2")])) == [
        "refused",
        "accepted",
    ]
    assert await mailbox.depth("echo") == 1


async def test_a_redis_that_takes_no_writes_is_away(keys: Keys) -> None:
    with Server("--save", "", "--maxmemory", "1") as server:
        link = await connect(server.url)
        assert statuses(await Mailbox(link, keys).accept([incoming("e1"), incoming("e2")])) == ["unavailable"] * 2
        await link.close()


async def test_a_full_queue_refuses_and_remembers_nothing(mailbox: Mailbox) -> None:
    await mailbox.accept([incoming("e1", queue_size=1)])
    refused = await mailbox.accept([incoming("e2", queue_size=1)])
    (first,) = await mailbox.take("echo", "n1", 1)
    await mailbox.finish(first)
    accepted = await mailbox.accept([incoming("e2", queue_size=1)])

    assert statuses([*refused, *accepted]) == ["full", "accepted"]
    assert await mailbox.depth("echo") == 1
