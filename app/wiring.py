"""Builds the parts that several processes share, in order, and closes them in reverse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from app.channel.limiter import Limiter
from app.channel.limits import Limits, Quota
from app.channel.outbox import Outbox
from app.channel.sender import Sender
from app.channel.sent_log import SentLog
from app.channel.tokens import Tokens
from app.core.engine import EmbeddedEngine
from app.core.engine_socket import running_url
from app.core.errors import HubError
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.core.settings import Settings
from app.feishu.client import FeishuApi
from app.queue.calls import Calls
from app.queue.dead_letters import DeadLetters
from app.queue.leases import Leases
from app.queue.ledger import Ledgers
from app.queue.log import EventLog
from app.queue.mailbox import Mailbox
from app.queue.outbox import OutboxQueue
from app.queue.tasks import Tasks
from app.queue.timetable import Timetable
from app.storage.audit import Audit
from app.storage.cache import CacheTiers
from app.storage.database import Database
from app.storage.keyring import Keyring
from app.storage.master_key import KEYS_DIRECTORY, MasterKey, load_master
from app.storage.messages import Messages
from app.storage.reveal import Reveals
from app.storage.shred_news import ShredNews
from app.storage.vault import DatabaseVault


@dataclass(frozen=True, slots=True)
class Stores:
    """The queue, the store and the keys, as every process of the hub uses them."""

    settings: Settings = field(repr=False)
    redis_url: str = field(repr=False)
    """Where Redis really is: for an embedded engine its socket."""
    keys: Keys
    link: RedisLink = field(repr=False)
    keyring: Keyring = field(repr=False)
    database: Database = field(repr=False)
    messages: Messages = field(repr=False)
    audit: Audit = field(repr=False)
    reveals: Reveals = field(repr=False)
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
async def stores_at(
    settings: Settings, redis_url: str, *, group: str = "", master: MasterKey | None = None, vault: bool = True
) -> AsyncIterator[Stores]:
    """The stores over a Redis whose URL is known; nothing is sent before its first use.

    `master` is the node's master key, where it is known already: a service that keeps it is asked once a node.

    `vault` says whether data keys are copied to the database too: one process a node is enough for that.
    """
    async with AsyncExitStack() as closing:
        keys = Keys(settings.redis.prefix, group=group)
        link = await connect(redis_url)
        closing.push_async_callback(link.close)
        database = Database(settings.database.url, settings.data_dir, pool=settings.database.pool)
        closing.push_async_callback(database.close)
        master = master or master_of(settings)
        keyring = Keyring(
            master, link, keys, settings.data_dir / KEYS_DIRECTORY, DatabaseVault(database) if vault else None
        )
        closing.push_async_callback(keyring.close)
        cache = CacheTiers(link, keys, keyring)
        shreds = ShredNews(keyring, link, keys)
        shreds.tell(cache.forget_bot)
        messages, audit = Messages(database), Audit(database)
        yield Stores(
            settings,
            redis_url,
            keys,
            link,
            keyring,
            database,
            messages,
            audit,
            Reveals(messages, keyring, audit),
            Mailbox(link, keys, replicas_ack=settings.redis.min_replicas_ack),
            Leases(link, keys),
            Ledgers(link, keys),
            Calls(link, keys),
            EventLog(link, keys),
            DeadLetters(link, keys),
            Outbox(OutboxQueue(link, keys), Seal(keyring), max_waiting=settings.outbox.max_waiting),
            Tasks(link, keys),
            Timetable(link, keys),
            cache,
            shreds,
        )


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """The stores for a command: beside a hub that runs, or with an engine of its own while none does."""
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
        stores = await closing.enter_async_context(stores_at(settings, url))
        await stores.keyring.check()
        yield stores


@asynccontextmanager
async def open_sender(stores: Stores, env: Mapping[str, str]) -> AsyncIterator[Sender]:
    """A process' way out to Feishu; what it sends goes into the log, for the store."""
    async with AsyncExitStack() as closing:
        api = await closing.enter_async_context(FeishuApi(trust_env=_has_proxy(env)))
        tokens = Tokens(api, stores.link, stores.keys, Seal(stores.keyring))
        closing.push_async_callback(tokens.close)
        limiter = Limiter(stores.link, stores.keys, limits_of(stores.settings))
        closing.push_async_callback(limiter.close)
        await closing.enter_async_context(stores.cache.running())
        telling = asyncio.create_task(limiter.run(), name="limits")
        closing.push_async_callback(asyncio.wait, (telling,))
        closing.callback(telling.cancel)
        sent_log = SentLog(stores.log, stores.keyring)
        yield Sender(api, tokens, limiter, stores.cache, on_sent=sent_log, on_change=sent_log.changed)


def _has_proxy(env: Mapping[str, str]) -> bool:
    """Whether the way to Feishu leads through a proxy; looking for one costs something at every request."""
    return any(env.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"))


@dataclass(frozen=True, slots=True)
class Seal:
    """Seals what the channel shares through Redis, under the bot's own key."""

    keyring: Keyring

    async def seal(self, bot: str, plain: bytes, identity: bytes) -> bytes:
        return (await self.keyring.cipher(bot)).seal(plain, identity)

    async def open(self, bot: str, sealed: bytes, identity: bytes) -> bytes:
        return (await self.keyring.cipher(bot)).open(sealed, identity)


def limits_of(settings: Settings) -> Limits:
    """The hub's bounds on sends, as the limiter takes them."""
    bounds = settings.limits
    return Limits(
        **bounds.model_dump(exclude={"quota"}),
        quotas={name: Quota(group.bots, group.per_month) for name, group in bounds.quota.items()},
    )
