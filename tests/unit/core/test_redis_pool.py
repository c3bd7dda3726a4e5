"""Connections to one Redis: whose replies they carry, and that each is given back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError

from app.core.redis import COMMAND_TIMEOUT, RedisLink
from app.core.redis_pool import QuickPool, WaitingPool
from app.core.wire import exchange
from tests.waiting import PATIENCE, until


def pool_of(link: RedisLink) -> QuickPool:
    assert isinstance(link.blocking, Redis)
    pool = link.blocking.connection_pool
    assert isinstance(pool, QuickPool)
    return pool


async def test_one_call_after_the_other_goes_over_one_connection(link: RedisLink) -> None:
    first = await link.blocking.client_id()
    assert [await link.blocking.client_id() for _ in range(3)] == [first] * 3


async def test_a_connection_that_the_server_closed_is_opened_anew(link: RedisLink) -> None:
    pool = pool_of(link)
    before = await link.blocking.client_id()
    connection = await pool.get_connection()
    await pool.release(connection)
    await link.commands.client_kill_filter(_id=str(before))
    await until(connection.can_read)  # the end of what is to be read
    assert await link.blocking.client_id() != before


async def test_a_reply_that_nobody_read_meets_nobody(link: RedisLink) -> None:
    pool = pool_of(link)
    connection = await pool.get_connection()
    await connection.send_command("ECHO", "of another")
    await until(connection.can_read)
    await pool.release(connection)
    assert await link.blocking.echo("own") == b"own"


async def test_who_finds_all_connections_in_use_waits_for_one(engine_url: str) -> None:
    path = engine_url.removeprefix("unix://")
    pool = WaitingPool(
        max_connections=2, timeout=PATIENCE, connection_class=UnixDomainSocketConnection, path=path, protocol=3
    )
    redis = Redis.from_pool(pool)
    held = [await pool.get_connection() for _ in range(2)]
    waiting = [asyncio.ensure_future(redis.echo(str(number))) for number in range(3)]
    given_up = asyncio.ensure_future(redis.echo("nobody waits"))
    await asyncio.sleep(0)
    given_up.cancel()
    assert not [task for task in waiting if task.done()]
    for connection in held:
        await pool.release(connection)
    assert await asyncio.gather(*waiting) == [b"0", b"1", b"2"]
    held = [await pool.get_connection() for _ in range(2)]
    pool._timeout = 0.02
    with pytest.raises(MaxConnectionsError):
        await redis.echo("too late")
    for connection in held:
        await pool.release(connection)
    assert await redis.echo("again") == b"again"
    await redis.aclose()


async def test_a_connection_that_could_not_be_made_leaves_its_place(tmp_path: Path) -> None:
    pool = WaitingPool(
        max_connections=1,
        timeout=PATIENCE,
        connection_class=UnixDomainSocketConnection,
        path=str(tmp_path / "nobody"),
    )
    for _ in range(2):
        with pytest.raises(RedisConnectionError, match="No such file"):
            await pool.get_connection()


async def test_a_connection_keeps_its_time_out_for_who_does_not_bound_it(link: RedisLink) -> None:
    assert isinstance(link.commands, Redis)
    assert await exchange(link.commands, ("ECHO", "here")) == [b"here"]
    connection = await link.commands.connection_pool.get_connection()
    assert connection.socket_timeout == COMMAND_TIMEOUT
    await link.commands.connection_pool.release(connection)


async def test_a_connection_that_cannot_be_made_is_given_back(tmp_path: Path) -> None:
    pool = QuickPool(UnixDomainSocketConnection, max_connections=1, path=str(tmp_path / "nobody"))
    for _ in range(2):
        with pytest.raises(RedisConnectionError, match="No such file"):
            await pool.get_connection()


async def test_who_is_stopped_while_connecting_gives_the_connection_back(tmp_path: Path) -> None:
    path, asked, go = str(tmp_path / "slow"), asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await go.wait()
        writer.close()

    server = await asyncio.start_unix_server(slow, path)
    pool = QuickPool(UnixDomainSocketConnection, max_connections=1, path=path)
    try:
        waiting = asyncio.create_task(pool.get_connection())
        await asked.wait()
        with pytest.raises(MaxConnectionsError):
            await pool.get_connection()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert pool.can_get_connection()
    finally:
        go.set()
        await pool.disconnect()
        server.close()
        await server.wait_closed()
