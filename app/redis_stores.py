"""What every process of a node builds over Redis, in order, and closes in reverse: the queue, the keys, the cache.

Workers import this and no more: the database behind the message store, SQLAlchemy with it, is the node's alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.channel.outbox import Outbox
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.core.settings import Settings
from app.queue.calls import Calls
from app.queue.dead_letters import DeadLetters
from app.queue.leases import Leases
from app.queue.ledger import Ledgers
from app.queue.log import EventLog
from app.queue.mailbox import Mailbox
from app.queue.outbox import OutboxQueue
from app.queue.tasks import Tasks
from app.queue.timetable import Timetable
from app.storage.cache import CacheTiers
from app.storage.keyring import Keyring
from app.storage.master_key import KEYS_DIRECTORY, MasterKey, load_master
from app.storage.shred_news import ShredNews

if TYPE_CHECKING:
    from app.storage.vault import DatabaseVault


@dataclass(frozen=True, slots=True)
class RedisStores:
    """The queue and the keys, as every process of the hub uses them."""

    settings: Settings = field(repr=False)
    redis_url: str = field(repr=False)
    """Where Redis really is: for an embedded engine its socket."""
    keys: Keys
    link: RedisLink = field(repr=False)
    keyring: Keyring = field(repr=False)
    mailbox: Mailbox = field(repr=False)
    leases: Leases = field(repr=False)
    ledgers: Ledgers = field(repr=False)
    calls: Calls = field(repr=False)
    log: EventLog = field(repr=False)
    letters: DeadLetters = field(repr=False)
    outbox: Outbox = field(repr=False)
    tasks: Tasks = field(repr=False)
    timetable: Timetable = field(repr=False)
    cache: CacheTiers = field(repr=False)
    """Runs in processes that have a sender."""
    shreds: ShredNews = field(repr=False)
    """Runs in processes that hold keys for long."""


def master_of(settings: Settings, *, may_create: bool = True) -> MasterKey:
    """The node's master key, made where the node has an engine of its own and no key yet; StartError."""
    secret = settings.master_key
    return load_master(
        secret.get_secret_value() if secret else None,
        settings.data_dir,
        may_create and settings.redis.url == "embedded",
        settings.master_key_file,
        settings.master_key_command,
    )


@asynccontextmanager
async def redis_stores_at(
    settings: Settings,
    redis_url: str,
    *,
    group: str = "",
    master: MasterKey | None = None,
    vault: DatabaseVault | None = None,
) -> AsyncIterator[RedisStores]:
    """The stores over a Redis whose URL is known; nothing is sent before their first use.

    `master` is the node's master key, where it is known already: a service that keeps it is asked once a node.

    `vault` is where data keys are copied to: one process a node is enough for that.
    """
    async with AsyncExitStack() as closing:
        keys = Keys(settings.redis.prefix, group=group)
        link = await connect(redis_url)
        closing.push_async_callback(link.close)
        keyring = Keyring(master or master_of(settings), link, keys, settings.data_dir / KEYS_DIRECTORY, vault)
        closing.push_async_callback(keyring.close)
        cache = CacheTiers(link, keys, keyring)
        shreds = ShredNews(keyring, link, keys)
        shreds.tell(cache.forget_bot)
        yield RedisStores(
            settings,
            redis_url,
            keys,
            link,
            keyring,
            Mailbox(link, keys, replicas_ack=settings.redis.min_replicas_ack),
            Leases(link, keys),
            Ledgers(link, keys),
            Calls(link, keys),
            EventLog(link, keys),
            DeadLetters(link, keys),
            Outbox(OutboxQueue(link, keys), keyring, max_waiting=settings.outbox.max_waiting),
            Tasks(link, keys),
            Timetable(link, keys),
            cache,
            shreds,
        )
