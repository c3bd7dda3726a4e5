"""Leases run out, retries come due, and what stands nowhere is found."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import redis

from app.core.errors import Fenced, StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.queue.leases import Leases, keep_alive
from app.queue.mailbox import Mailbox
from tests.redis_servers import Server
from tests.unit.queue.incoming import incoming


async def expire(link: RedisLink, keys: Keys, conversation: str) -> None:
    await link.commands.zadd(keys.bot("echo", "lease"), {conversation: 1})


async def test_an_expired_claim_goes_to_the_next_worker(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("e1")])
    (asleep,) = await mailbox.take("echo", "n1", 1)
    assert (await leases.sweep(["echo"])).expired == 0
    await expire(link, keys, "oc_1")

    assert (await leases.sweep(["echo"])).expired == 1
    with pytest.raises(Fenced):
        await mailbox.finish(asleep)
    assert await mailbox.next_bot(1) == "echo"
    (work,) = await mailbox.take("echo", "n2", 1)
    assert work.deaths == 1


async def test_a_node_that_begins_anew_frees_what_its_earlier_life_held(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2")])
    await mailbox.take("echo", "n1:old:1", 1)
    await mailbox.take("echo", "n12:old:1", 1)

    assert await leases.abandon_node("n1", ["echo"]) == 1
    (work,) = await mailbox.take("echo", "n1:new:1", 5)
    assert (work.entry.event_id, work.deaths) == ("e1", 1)


async def test_keep_alive_extends_own_claims_and_reports_lost_ones(
    link: RedisLink, keys: Keys, engine_url: str
) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2")])
    one, two = await mailbox.take("echo", "n1", 2)
    await expire(link, keys, one.conversation)
    await expire(link, keys, two.conversation)
    client = redis.Redis.from_url(engine_url)
    try:
        lost = keep_alive(client, keys, [one, two._replace(owner="n9")])
    finally:
        client.close()

    assert [work.conversation for work in lost] == [two.conversation]
    assert (await leases.sweep(["echo"])).expired == 1


async def test_only_one_sweeps_within_the_span(link: RedisLink, keys: Keys) -> None:
    leases = Leases(link, keys)

    assert await leases.sweep_in_turn([], "n1", 30) is not None
    assert await leases.sweep_in_turn([], "n2", 30) is None


@pytest.mark.parametrize("conversation", ["oc_1", "call:c1"])
async def test_a_lost_wake_token_is_made_again(link: RedisLink, keys: Keys, conversation: str) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("e1", conversation=conversation)])
    await link.commands.delete(keys.wake)

    await leases.sweep(["echo"])
    await leases.sweep(["echo"])

    assert await link.commands.lrange(keys.wake, 0, -1) == [b"echo"]


async def test_mail_that_stands_nowhere_is_made_ready(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    call = incoming("c1", conversation="call:c1", kind="call")
    await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2"), call])
    places = [keys.bot("echo", part) for part in ("claim", "ready", "calls")]
    await link.commands.delete(*places, keys.wake)

    assert await leases.mend_stranded(["echo", "other"]) == 3
    assert await leases.mend_stranded(["echo", "other"]) == 0
    assert {work.entry.event_id for work in await mailbox.take("echo", "n1", 5)} == {"e1", "e2"}
    assert [work.entry.event_id for work in await mailbox.take("echo", "n1", 0, calls=5)] == ["c1"]


async def test_who_knows_other_bots_does_not_take_their_turn(link: RedisLink, keys: Keys) -> None:
    leases = Leases(link, keys)

    assert await leases.sweep_in_turn(["echo"], "n1", 30) is not None
    assert await leases.sweep_in_turn(["echo", "other"], "n2", 30) is not None
    assert await leases.sweep_in_turn(["other", "echo"], "n3", 30) is None


async def test_what_a_living_but_blocked_worker_held_counts_no_death(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming(f"e{n}", conversation=f"oc_{n}") for n in range(1, 4)])
    await mailbox.take("echo", "n1", 1)
    await mailbox.take("echo", "n2", 1)
    assert await leases.abandon("n2", ["echo"]) == 1
    assert await leases.abandon("n1", ["echo"], alive=True) == 1
    # A lease that stayed would make ready once more what stands ready, and two would have it.
    assert not await link.commands.exists(keys.bot("echo", "lease"))

    works = await mailbox.take("echo", "n3", 5)
    assert [(work.entry.event_id, work.starts, work.deaths) for work in works] == [
        ("e1", 1, 0),
        ("e2", 2, 1),
        ("e3", 1, 0),
    ]
    assert await leases.abandon("n1", ["echo"], alive=True) == 0


async def test_a_callback_that_was_held_is_a_callback_again(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("c1", conversation="call:c1", kind="call")])
    for owner in ("n1", "n2"):
        assert await mailbox.next_bot(1) == "echo"
        assert len(await mailbox.take("echo", owner, 0, calls=1)) == 1
        await leases.abandon(owner, ["echo"])
    assert len(await mailbox.take("echo", "n3", 0, calls=1)) == 1
    await expire(link, keys, "call:c1")
    await leases.sweep(["echo"])

    assert len(await mailbox.take("echo", "n4", 0, calls=1)) == 1


async def test_who_abandons_one_owner_expires_nobody_elses_claims(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("e1")])
    await mailbox.take("echo", "n1", 1)
    await expire(link, keys, "oc_1")

    assert await leases.abandon("n2", ["echo"]) == 0


async def gap(link: RedisLink, keys: Keys) -> None:
    """As if nothing had been swept for a minute."""
    (note,) = [key async for key in link.commands.scan_iter(match=f"{keys.prefix}*swept*")]
    swept, reprieved = (await link.commands.get(note) or b"").split()
    await link.commands.set(note, b"%d %d" % (int(swept) - 60_000, max(0, int(reprieved) - 60_000)), keepttl=True)


async def test_after_a_gap_every_claim_has_one_more_lease(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await leases.sweep(["echo"])
    await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2")])
    await mailbox.take("echo", "n1", 2)
    await expire(link, keys, "oc_1")
    await expire(link, keys, "oc_2")
    await gap(link, keys)

    swept = await Leases(link, keys).sweep(["echo"])
    assert (swept.expired, swept.reprieved) == (0, 2)
    await expire(link, keys, "oc_1")  # its owner did not come back
    assert (await leases.sweep(["echo"])).expired == 1


async def test_slow_sweeps_do_not_keep_the_claims_of_the_dead(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await leases.sweep(["echo"])  # the first of all is a reprieve
    await mailbox.accept([incoming("e1")])
    await mailbox.take("echo", "n1", 1)
    await expire(link, keys, "oc_1")
    (note,) = [key async for key in link.commands.scan_iter(match=f"{keys.prefix}*swept*")]
    swept, reprieved = (await link.commands.get(note) or b"").split()
    await link.commands.set(note, b"%d %d" % (int(swept) - 3_000, int(reprieved)), keepttl=True)

    assert (await leases.sweep(["echo"])).expired == 1


async def test_after_a_stop_of_the_cluster_old_claims_are_free_at_once(link: RedisLink, keys: Keys) -> None:
    mailbox = Mailbox(link, keys)
    await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2")])
    await mailbox.take("echo", "n1", 2)
    seconds, _ = await link.commands.time()
    await link.commands.zadd(keys.bot("echo", "lease"), {"oc_1": (seconds - 60) * 1000, "oc_2": (seconds - 1) * 1000})

    swept = await Leases(link, keys).sweep(["echo"])
    assert (swept.expired, swept.reprieved) == (1, 1)


async def test_a_node_that_lived_through_a_long_outage_knows_that_it_was_one(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    witness = Leases(link, keys)
    assert await leases.sweep_in_turn(["echo"], "n1", 30) is not None
    assert await witness.sweep_in_turn(["echo"], "n2", 30) is None
    await mailbox.accept([incoming("e1")])
    await mailbox.take("echo", "n1", 1)
    for node in (leases, witness):
        await expire(link, keys, "oc_1")
        (note,) = [key async for key in link.commands.scan_iter(match=f"{keys.prefix}*swept*")]
        assert await link.commands.pttl(note) > 0
        await link.commands.delete(note)  # it ran out

        assert (await node.sweep(["echo"])).expired == 0


async def test_a_bot_whose_keys_are_damaged_keeps_no_other_from_its_turn_and_is_named_once(
    link: RedisLink, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2")])
    first, second = await mailbox.take("echo", "n1", 2)
    await mailbox.retry(first, 0)
    bots = ["damaged-in-sweep", "echo"]
    for key in ("delayed", "claim", "depth"):
        await link.commands.set(keys.bot(bots[0], key), "of another type")

    assert (await leases.sweep(bots)).retries == 1
    assert await leases.abandon(second.owner, bots) == 1
    assert await leases.mend_stranded(bots) == 0
    assert capsys.readouterr().out.count("damaged-in-sweep") == 1


async def test_a_bot_whose_claims_are_damaged_ends_no_other_bots(link: RedisLink, keys: Keys, engine_url: str) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("e1", bot="damaged"), incoming("e2")])
    works = [*await mailbox.take("damaged", "n1", 1), *await mailbox.take("echo", "n1", 1)]
    await leases.sweep(["echo"])
    await link.commands.set(keys.bot("damaged", "claim"), "of another type")
    with contextlib.closing(redis.Redis.from_url(engine_url)) as client:
        await expire(link, keys, "oc_1")
        assert await asyncio.to_thread(keep_alive, client, keys, works) == []
        assert (await leases.sweep(["echo"])).expired == 0
    await expire(link, keys, "oc_1")
    assert await leases.extend(works) == []
    assert (await leases.sweep(["echo"])).expired == 0


async def test_what_is_due_while_a_key_is_damaged_is_made_ready_when_it_is_mended(link: RedisLink, keys: Keys) -> None:
    mailbox, leases = Mailbox(link, keys), Leases(link, keys)
    await mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2"), incoming("e3", conversation="oc_3")])
    asleep, retried, later = await mailbox.take("echo", "n1", 3)
    await expire(link, keys, asleep.conversation)
    await mailbox.retry(retried, 0)
    await mailbox.later(later, 0)
    await link.commands.set(keys.bot("echo", "ready"), "of another type")
    await leases.sweep(["echo"])
    await link.commands.delete(keys.bot("echo", "ready"))
    await leases.sweep(["echo"])

    assert {work.entry.event_id for work in await mailbox.take("echo", "n2", 9)} == {"e1", "e2", "e3"}


async def test_what_redis_refuses_of_everybody_is_no_damage(keys: Keys) -> None:
    with Server("--save", "") as server:
        link = await connect(server.url)
        mailbox = Mailbox(link, keys)
        await mailbox.accept([incoming("e1")])
        await mailbox.take("echo", "n1", 1)
        await link.commands.config_set("min-replicas-to-write", 1)
        with pytest.raises(StoreUnavailable):
            await Leases(link, keys).abandon("n1", ["echo"])
        await link.close()
