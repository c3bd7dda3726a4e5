"""The stores of a hub: what lies in Redis, and the database beside it, built in order and closed in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields

from app.core.engine import EmbeddedEngine
from app.core.engine_socket import running_url
from app.core.errors import HubError
from app.core.settings import Settings
from app.redis_stores import RedisStores, redis_stores_at
from app.storage.audit import Audit
from app.storage.database import Database
from app.storage.key_check import check_master
from app.storage.master_key import MasterKey
from app.storage.messages import Messages
from app.storage.reveal import Reveals
from app.storage.vault import DatabaseVault


@dataclass(frozen=True, slots=True)
class Stores(RedisStores):
    """The queue, the store and the keys, as a node and the commands use them."""

    database: Database = field(repr=False)
    messages: Messages = field(repr=False)
    audit: Audit = field(repr=False)
    reveals: Reveals = field(repr=False)


@asynccontextmanager
async def stores_at(
    settings: Settings, redis_url: str, *, group: str = "", master: MasterKey | None = None
) -> AsyncIterator[Stores]:
    """The stores over a Redis whose URL is known, see `redis_stores_at`; the database is opened at its first use."""
    async with AsyncExitStack() as closing:
        database = Database(settings.database.url, settings.data_dir, pool=settings.database.pool)
        closing.push_async_callback(database.close)
        over_redis = await closing.enter_async_context(
            redis_stores_at(settings, redis_url, group=group, master=master, vault=DatabaseVault(database))
        )
        messages, audit = Messages(database), Audit(database)
        reveals = Reveals(messages, over_redis.keyring, audit)
        parts = {part.name: getattr(over_redis, part.name) for part in fields(over_redis)}
        yield Stores(**parts, database=database, messages=messages, audit=audit, reveals=reveals)


@asynccontextmanager
async def open_stores(settings: Settings, *, group: str = "") -> AsyncIterator[Stores]:
    """The stores for a command: beside a hub that runs, or with an engine of its own while none does.

    `group` is of the nodes that are woken by it.
    """
    async with AsyncExitStack() as closing:
        url = settings.redis.url
        if url == "embedded":
            running = await running_url(settings.data_dir)
            if running is None:
                if not (settings.data_dir / "engine").is_dir():
                    raise HubError(
                        f"no hub has run on {settings.data_dir}: name its data directory with --data-dir "
                        "(`feishu-hub dev` keeps its own in data/dev)"
                    )
                engine = EmbeddedEngine(settings.data_dir, settings.redis.fsync)
                running = await engine.start()
                closing.push_async_callback(engine.stop)
            url = running
        stores = await closing.enter_async_context(stores_at(settings, url, group=group))
        await check_master(stores.keyring)
        yield stores
