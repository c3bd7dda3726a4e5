"""How many connections a node keeps to PostgreSQL, and for how long: what `database.pool` says."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.sections import DatabasePool

# How long one waits for a connection while all are in use.
_PATIENCE: Final = 5.0


def pool_arguments(pool: DatabasePool) -> dict[str, Any]:
    """The settings in SQLAlchemy's words."""
    return {
        "pool_size": pool.max_connections,
        "max_overflow": 0,
        "pool_timeout": _PATIENCE,
        "pool_recycle": pool.max_lifetime,
        "pool_pre_ping": True,
        # The last one used is used next, so that the others come to rest and can be closed.
        "pool_use_lifo": True,
    }


class IdleConnections:
    """Closes what lay unused for `idle_timeout`, down to `min_connections`; SQLAlchemy's pool never shrinks."""

    def __init__(self, engine: AsyncEngine, pool: DatabasePool, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pool = pool
        self._clock = clock
        self._idle: dict[ConnectionPoolEntry, float] = {}
        self._open = 0
        self._timer: asyncio.TimerHandle | None = None
        listened = engine.sync_engine
        event.listen(listened, "connect", self._opened)
        event.listen(listened, "close", self._closed)
        event.listen(listened, "checkout", self._taken)
        event.listen(listened, "checkin", self._returned)

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return self._open

    def stop(self) -> None:
        """Look no more; what is open is the engine's to close."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _opened(self, _connection: object, _entry: ConnectionPoolEntry) -> None:
        self._open += 1

    def _closed(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        self._open -= 1
        self._idle.pop(entry, None)

    def _taken(self, _connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        self._idle.pop(entry, None)

    def _returned(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        self._idle[entry] = self._clock.monotonic()
        self._wait()

    def _wait(self) -> None:
        if self._timer is None and self._open > self._pool.min_connections:
            self._timer = asyncio.get_running_loop().call_later(self._pool.idle_timeout, self._look)

    def _look(self) -> None:
        self._timer = None
        before = self._clock.monotonic() - self._pool.idle_timeout
        # Those longest at rest come first: a dictionary keeps the order of return.
        for entry in [entry for entry, since in self._idle.items() if since <= before]:
            if self._open > self._pool.min_connections:
                # Cut off rather than closed properly, which would wait, while somebody could take it.
                entry.invalidate()
        if self._idle:
            self._wait()
