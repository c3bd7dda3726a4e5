"""Connections to one Redis: whose replies they carry, and that each is given back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError

from app.core.redis import RedisLink
from app.core.redis_pool import QuickPool
from tests.waiting import until


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
