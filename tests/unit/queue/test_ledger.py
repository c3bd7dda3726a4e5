"""The sent record and state belong to who holds the conversation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import Fenced
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.outbound import Begun, Opened, SendName
from app.queue.leases import Leases
from app.queue.ledger import Ledgers
from app.queue.mailbox import Mailbox
from app.queue.work import Work
from tests.unit.queue.incoming import incoming

NAME = SendName("echo", "om_1", 0, "reply", "om_1", 1)


async def claimed(link: RedisLink, keys: Keys, owner: str = "n1") -> Work:
    mailbox = Mailbox(link, keys)
    await mailbox.accept([incoming("e1")])
    (work,) = await mailbox.take("echo", owner, 1)
    return work


async def test_a_send_is_begun_once_and_recorded_once(link: RedisLink, keys: Keys) -> None:
    ledger = Ledgers(link, keys).of(await claimed(link, keys))

    assert await ledger.begin(NAME) == Begun()
    unknown = await ledger.begin(NAME)
    assert unknown.since == pytest.approx(SYSTEM_CLOCK.now(), abs=60)
    await ledger.record(NAME, "om_9")
    assert await ledger.begin(NAME) == Begun(message_id="om_9")


async def test_the_record_lives_as_long_as_its_event_is_handled_again(link: RedisLink, keys: Keys) -> None:
    work, record = await claimed(link, keys), keys.sent("echo", "e1")
    ledger = Ledgers(link, keys).of(work)
    await ledger.begin(NAME)
    await ledger.record(NAME, "om_9")
    await link.commands.expire(record, 10)

    assert (await ledger.begin(NAME)).message_id == "om_9"
    assert await link.commands.ttl(record) > 3600
    await Mailbox(link, keys).later(work, 5 * 86_400)
    assert await link.commands.ttl(record) > 5 * 86_400


async def test_a_forgotten_send_may_begin_again(link: RedisLink, keys: Keys) -> None:
    ledger = Ledgers(link, keys).of(await claimed(link, keys))
    await ledger.begin(NAME)
    await ledger.forget(NAME)

    assert await ledger.begin(NAME) == Begun()


async def test_each_attempt_at_a_card_has_a_turn_of_its_own(link: RedisLink, keys: Keys) -> None:
    ledger = Ledgers(link, keys).of(await claimed(link, keys))

    assert await ledger.open(NAME) == Opened(1)
    await ledger.record(NAME, "73")
    assert await ledger.open(NAME) == Opened(2, "73")
    await ledger.record(NAME, "")
    assert await ledger.open(NAME) == Opened(3, "")
    assert await ledger.open(replace(NAME, part=1)) == Opened(1)


async def test_who_lost_the_claim_writes_nothing(link: RedisLink, keys: Keys) -> None:
    work = await claimed(link, keys)
    ledgers = Ledgers(link, keys)
    await Leases(link, keys).abandon("n1", ["echo"])
    await Mailbox(link, keys).take("echo", "n2", 1)

    with pytest.raises(Fenced):
        await ledgers.of(work).begin(NAME)
    with pytest.raises(Fenced):
        await ledgers.of(work).record(NAME, "om_9")
    with pytest.raises(Fenced):
        await ledgers.of(work).open(NAME)
    with pytest.raises(Fenced):
        await ledgers.state_set(work, "chat:oc_1:n", b"x", None)
    assert await ledgers.state_get("echo", "chat:oc_1:n") is None


async def test_state_is_kept_with_its_time_to_live(link: RedisLink, keys: Keys) -> None:
    work = await claimed(link, keys)
    ledgers = Ledgers(link, keys)
    await ledgers.state_set(work, "chat:oc_1:n", b"x", 30.0)

    assert await ledgers.state_get("echo", "chat:oc_1:n") == b"x"
    assert 0 < await link.commands.pttl(keys.state("echo", "chat:oc_1:n")) <= 30_000
    await ledgers.state_delete(work, "chat:oc_1:n")
    assert await ledgers.state_get("echo", "chat:oc_1:n") is None


async def test_a_swap_meets_the_value_that_was_seen_or_says_what_is_there(link: RedisLink, keys: Keys) -> None:
    work = await claimed(link, keys)
    ledgers = Ledgers(link, keys)

    assert await ledgers.state_swap(work, "bot:n", b"x", b"y", None, keep_ttl=False) == (False, None)
    assert await ledgers.state_swap(work, "bot:n", None, b"x", 30.0, keep_ttl=True) == (True, b"x")
    assert await ledgers.state_swap(work, "bot:n", None, b"y", None, keep_ttl=True) == (False, b"x")
    assert await ledgers.state_swap(work, "bot:n", b"x", b"y", None, keep_ttl=True) == (True, b"y")
    assert 0 < (await ledgers.state_ttl("echo", "bot:n") or 0) <= 30
    assert await ledgers.state_swap(work, "bot:n", b"y", b"z", None, keep_ttl=False) == (True, b"z")
    assert await ledgers.state_ttl("echo", "bot:n") is None
    await Leases(link, keys).abandon("n1", ["echo"])
    with pytest.raises(Fenced):
        await ledgers.state_swap(work, "bot:n", b"z", b"a", None, keep_ttl=False)
    assert await ledgers.state_get("echo", "bot:n") == b"z"
