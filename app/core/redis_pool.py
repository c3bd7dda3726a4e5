"""Connection pools without what redis-py does at every hand-out for telemetry and listeners."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import MaxConnectionsError


class QuickPool(ConnectionPool):
    """Like redis-py's; it needs no lock, since nothing is awaited between taking a connection and noting it."""

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> AbstractConnection:
        """A connection that is ready to send; raises what connecting raises."""
        connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            if not connection.is_connected or await connection.can_read():
                # Never connected, closed by either side, or with a reply that nobody read.
                await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back, connected or not."""
        self._in_use_connections.remove(connection)
        if connection.should_reconnect():
            await connection.disconnect()
        self._available_connections.append(connection)


class WaitingPool(QuickPool):
    """The same, but a caller who finds all connections in use waits for one."""

    def __init__(self, *, max_connections: int, timeout: float, **options: Any) -> None:
        """After `timeout` seconds of waiting a caller gets redis-py's ConnectionError."""
        super().__init__(max_connections=max_connections, **options)
        self._free = asyncio.Semaphore(max_connections)
        self._timeout = timeout

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> AbstractConnection:
        """A connection that is ready to send; raises what connecting raises."""
        if self._free.locked():
            try:
                async with asyncio.timeout(self._timeout):
                    await self._free.acquire()
            except TimeoutError as error:
                raise MaxConnectionsError("no connection was given back in time") from error
        else:
            await self._free.acquire()
        return await super().get_connection()

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back, connected or not."""
        try:
            await super().release(connection)
        finally:
            self._free.release()


class QuickSentinelPool(QuickPool, SentinelConnectionPool):
    """The same, to whatever primary the Sentinels name."""
