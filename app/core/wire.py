"""Sends commands without redis-py's own packing, which is the greatest cost of a large command."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ResponseError

Arg: TypeAlias = bytes | str | int | float


async def exchange(redis: Redis, *commands: tuple[Arg, ...]) -> list[Any]:
    """The replies to commands sent together; Redis' errors are returned, not raised. The caller bounds the time."""
    pool: ConnectionPool = redis.connection_pool
    connection = await pool.get_connection()
    try:
        await send(connection, [pack(command) for command in commands])
        return [await reply(connection) for _ in commands]
    except BaseException:
        # A reply that nobody read must not meet the next round trip.
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)


async def send(connection: AbstractConnection, packed: list[bytes]) -> None:
    """Send commands; the caller bounds the time, for which redis-py would begin a task on Python 3.11."""
    timeout, connection.socket_timeout = connection.socket_timeout, None
    try:
        await connection.send_packed_command(packed)
    finally:
        connection.socket_timeout = timeout


async def reply(connection: AbstractConnection) -> Any:
    """The next reply; an error from Redis is returned, not raised."""
    try:
        # The time-out around the round trip bounds it: one for each reply would cost more than the reply.
        return await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error


def pack(command: tuple[Arg, ...]) -> bytes:
    """A command as it is sent."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub allows one-element tuples only
    return packed
