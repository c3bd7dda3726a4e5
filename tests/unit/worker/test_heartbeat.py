"""Leases are extended while the loop is blocked, and only of claims that somebody works on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest
import redis

from app.queue.claims import Claims
from app.queue.work import Work
from app.worker.heartbeat import Heartbeat
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import message
from tests.waiting import until, wait_until


@pytest.fixture
def claims() -> Claims:
    return Claims()


def heartbeat(site: Site, claims: Claims, url: str = "") -> Heartbeat:
    return Heartbeat(
        claims,
        site.keys,
        lambda: redis.Redis.from_url(url or site.url),
        lease_ms=60_000,
        interval=0.05,
    )


async def taken(site: Site, number: int, work: Coroutine[Any, Any, Any], claims: Claims) -> Work:
    """A claimed conversation, and the task that holds it."""
    await site.accept(message(number, "x", site.cipher, chat=f"oc_{number}"))
    (found,) = await site.mailbox.take("echo", "test:1", 1)
    claims.hold(found, asyncio.create_task(work))
    return found


async def lease(site: Site, work: Work) -> float:
    score = await site.link.commands.zscore(site.keys.bot("echo", "lease"), work.conversation)
    assert isinstance(score, float)
    return score


async def test_a_blocked_loop_keeps_its_claims(site: Site, claims: Claims) -> None:
    work = await taken(site, 1, asyncio.Event().wait(), claims)
    with redis.Redis.from_url(site.url) as client:

        def extended_from(before: float) -> bool:
            return bool(client.zscore(site.keys.bot("echo", "lease"), work.conversation) > before)

        beat = heartbeat(site, claims)
        beat.start()
        for _ in range(2):
            before = await lease(site, work)
            wait_until(partial(extended_from, before))  # holds the loop, which is what is tested
    assert (await site.leases.sweep(["echo"])).expired == 0
    await beat.stop()


async def test_a_claim_whose_task_ended_is_left_to_run_out(site: Site, claims: Claims) -> None:
    work = await taken(site, 1, asyncio.sleep(0), claims)
    other = await taken(site, 2, asyncio.Event().wait(), claims)
    before, other_before = await lease(site, work), await lease(site, other)
    beat = heartbeat(site, claims)
    beat.start()

    async def extended() -> bool:
        return await lease(site, other) != other_before

    await until(extended)
    assert await lease(site, work) == before
    await beat.stop()


async def test_a_lost_claim_cancels_its_task_and_no_other(site: Site, claims: Claims) -> None:
    ended: list[int] = []

    async def wait(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    await taken(site, 1, wait(1), claims)
    await site.leases.abandon("test:1", ["echo"])
    await site.mailbox.take("echo", "test:2", 1)
    await taken(site, 2, wait(2), claims)
    beat = heartbeat(site, claims)
    beat.start()
    await until(lambda: ended == [1])
    await beat.stop()
    assert ended == [1]


async def test_an_outage_of_redis_does_not_end_the_heartbeat(site: Site, claims: Claims) -> None:
    await taken(site, 1, asyncio.Event().wait(), claims)
    beats = 0

    class Flaky:
        """Redis that is away for the first two beats."""

        def eval(self, *args: Any) -> list[bytes]:
            nonlocal beats
            beats += 1
            if beats < 3:
                raise redis.ConnectionError("away")
            return []

        def close(self) -> None:
            pass

    beat = Heartbeat(claims, site.keys, Flaky, lease_ms=60_000, interval=0.01)
    beat.start()
    await until(lambda: beats >= 4)
    await beat.stop()


async def test_a_client_that_cannot_be_made_at_once_is_made_later(site: Site, claims: Claims) -> None:
    work = await taken(site, 1, asyncio.Event().wait(), claims)
    before = await lease(site, work)
    tries: list[int] = []

    def open_client() -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise redis.RedisClusterException("Redis Cluster cannot be connected")
        return redis.Redis.from_url(site.url)

    beat = Heartbeat(claims, site.keys, open_client, lease_ms=60_000, interval=0.02)
    beat.start()

    async def extended() -> bool:
        return await lease(site, work) > before

    await until(extended)
    await beat.stop()
