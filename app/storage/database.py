"""The database behind the message store: SQLite or PostgreSQL by URL, with its schema kept up to date."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.core.errors import StartError, StoreUnavailable
from app.core.sections import DatabasePool
from app.storage.database_url import driver_url
from app.storage.pool import IdleConnections, pool_arguments
from app.storage.private_files import create_private
from app.storage.schema import HEAD, current_revision, upgrade

_CONNECT_TIMEOUT: Final = 5.0
# Above the slowest batch by far; a hung server must not hold the archiver for ever.
_COMMAND_TIMEOUT: Final = 30.0
# SQLite has one writer at a time over all processes: how long one waits for the others.
_BUSY_TIMEOUT_MS: Final = 10_000
# What moves millions of rows takes minutes; meanwhile the archive waits.
_LONG_TIMEOUT: Final = 1800.0
# For new files. A batch touches random places in several indexes: of larger pages it writes fewer (10,000 rows: 34 µs a
# row with pages of 4 KiB, 23 with these).
_PAGE_SIZE: Final = 16_384
_CACHE_KIB: Final = 65_536
# Any number, the same in every hub: names the lock that lets one node migrate at a time.
_ADVISORY_LOCK: Final = 0x6665697368750001


class Database:
    """One SQLAlchemy engine; nothing is opened before its first use: an outage keeps no node from starting.

    `url` is `sqlite` (a file in the data directory), `sqlite:///path` or `postgresql://…`.
    """

    def __init__(
        self,
        url: str,
        data_dir: Path,
        *,
        pool: DatabasePool | None = None,
    ) -> None:
        """ConfigError when the URL cannot be used, StartError without its driver; the pool is PostgreSQL's."""
        self._url = driver_url(url, data_dir)
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self.place = str(self._url.database) if self.sqlite else f"PostgreSQL at {self._url.host or 'localhost'}"
        pool = pool or DatabasePool()
        self._engine = _engine(self._url, pool)
        self._idle = None if self.sqlite else IdleConnections(self._engine, pool)
        self._ready = asyncio.Event()
        self._preparing = asyncio.Lock()
        self._writing = asyncio.Lock()

    async def prepare(self) -> None:
        """Bring the schema up to date, once; nodes that come at the same time wait for the first.

        StoreUnavailable when the database is away; StartError when its schema is of a newer hub.
        """
        if self._ready.is_set():
            return
        async with self._preparing:
            if self._ready.is_set():
                return
            with self._guard():
                if self.sqlite:
                    await self._make_file()
                async with self._engine.connect() as connection:
                    revision = await connection.run_sync(current_revision)
                # A schema at its head needs no Alembic, which costs a third of a second to import.
                if revision != HEAD:
                    async with asyncio.timeout(_LONG_TIMEOUT):
                        await self._migrate()
            self._ready.set()

    async def revision(self) -> str | None:
        """The schema's revision, None where there is none yet; nothing is made or changed. StoreUnavailable."""
        if self.sqlite and not await asyncio.to_thread(Path(self._url.database or "").exists):
            return None
        with self._guard():
            async with self._engine.connect() as connection:
                return await connection.run_sync(current_revision)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries; StoreUnavailable when the database is away."""
        await self.prepare()
        with self._guard():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection in one transaction, committed at the end; StoreUnavailable when the database is away."""
        await self.prepare()
        with self._guard():
            async with self._locked(), _writing(self._engine) as connection:
                yield connection

    @asynccontextmanager
    async def rewriting(self) -> AsyncIterator[AsyncConnection]:
        """Like `writing`, for statements that go through millions of rows: each has half an hour."""
        await self.prepare()
        with self._guard():
            async with self._locked(), self._patient() as engine, _writing(engine) as connection:
                yield connection

    async def scrub(self, table: str | None = None) -> None:
        """Remove what was deleted or overwritten in `table` from the database's files.

        Without a table, only from SQLite's write-ahead log. StoreUnavailable while a reader still needs that.
        """
        await self.prepare()
        with self._guard():
            async with self._locked(), self._engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                if self.sqlite:
                    # The pages were zeroed (secure_delete); their older versions stand in the write-ahead log.
                    busy, *_ = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).one()
                    if busy:
                        raise StoreUnavailable(
                            f"the database ({self.place}): what was deleted is still in its write-ahead log, since "
                            "somebody reads an older state of it (a backup, say); try again when that is over"
                        )
                elif table is not None:
                    await connection.exec_driver_sql(f"VACUUM {table}")

    async def close(self) -> None:
        """Give all connections back."""
        if self._idle is not None:
            self._idle.stop()
        await self._engine.dispose()

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        # SQLite's waiting for its one writer is a poll, and unfair: within a process they queue here.
        if self.sqlite:
            async with self._writing:
                yield
        else:
            yield

    async def _migrate(self) -> None:
        async with self._patient() as engine, _writing(engine) as connection:
            # On SQLite the transaction that begins here is itself the lock (BEGIN IMMEDIATE).
            if not self.sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            await connection.run_sync(upgrade, self.place)

    @asynccontextmanager
    async def _patient(self) -> AsyncIterator[AsyncEngine]:
        """For PostgreSQL a connection of its own, whose commands are not cut off for taking long."""
        if self.sqlite:
            yield self._engine
            return
        own = _engine(self._url, DatabasePool(), command_timeout=_LONG_TIMEOUT)
        try:
            yield own
        finally:
            await own.dispose()

    async def _make_file(self) -> None:
        path = Path(self._url.database or "")
        try:
            await asyncio.to_thread(create_private, path, b"")
        except FileExistsError:
            pass
        await asyncio.to_thread(_use_write_ahead_log, path)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except _errors() as error:
            # The driver's own words, without SQLAlchemy's, which add the statement.
            reason = getattr(error, "orig", None) or error
            words = str(reason).partition("\n")[0] or type(reason).__name__
            if isinstance(error, PoolTimeout):
                words = "all its connections are in use: raise database.pool.max_connections"
            raise StoreUnavailable(f"the database ({self.place}) cannot be used: {words}") from error


@asynccontextmanager
async def _writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        await connection.execution_options(hub_writes=True)
        async with connection.begin():
            yield connection


def _errors() -> tuple[type[Exception], ...]:
    """The errors that mean a database cannot be used; asyncpg's own too, which come where SQLAlchemy is bypassed."""
    driver = sys.modules.get("asyncpg")
    own = (driver.PostgresError, driver.InterfaceError) if driver else ()
    return (SQLAlchemyError, OSError, TimeoutError, sqlite3.Error, *own)


def _engine(url: URL, pool: DatabasePool, command_timeout: float = _COMMAND_TIMEOUT) -> AsyncEngine:
    # hide_parameters: the values of a statement that failed must not reach a log.
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url, hide_parameters=True, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000})
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_async_engine(
            url,
            hide_parameters=True,
            **pool_arguments(pool),
            connect_args={"timeout": _CONNECT_TIMEOUT, "command_timeout": command_timeout},
        )
    except ModuleNotFoundError as error:
        raise StartError(
            f"database.url: PostgreSQL needs the package {error.name}, which is not installed: "
            "`pip install asyncpg` into the hub's environment"
        ) from error


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # The driver begins no transaction by itself: `_begin_sqlite` says when and which.
    connection.isolation_level = None
    # Text on a damaged page is shown as far as it can be read; otherwise none of the page's rows could be.
    connection.driver_connection.text_factory = _readable
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    # FULL, not NORMAL: once a batch is stored its log entries may be deleted, and the row is the only copy.
    # NORMAL loses the last commits at a power cut; FULL costs an eighth of the throughput of batches.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # What is deleted is overwritten, here and not only where the library was built so.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    cursor.close()


def _readable(text: bytes) -> str:
    return text.decode(errors="replace")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: one that begins as a reader can fail half way without waiting.
    writes = connection.get_execution_options().get("hub_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_write_ahead_log(path: Path) -> None:
    """Turn a database file to WAL, which it then stays in; the change does not wait for others by itself."""
    with sqlite3.connect(path, timeout=_BUSY_TIMEOUT_MS / 1000, isolation_level=None) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
