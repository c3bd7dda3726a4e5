"""Connections to one Redis, handed out and taken back past what redis-py does each time for telemetry and listeners."""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.sentinel import SentinelConnectionPool


class QuickPool(ConnectionPool):
    """As redis-py's; nothing is awaited between taking a connection and noting it, so no lock is needed either."""

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


class QuickSentinelPool(QuickPool, SentinelConnectionPool):
    """The same, to whatever primary the Sentinels name."""
