"""Ways to one Redis by URL alone: single, unix socket, TLS, Sentinel or Cluster."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from app.core.errors import ConfigError, Fault
from app.core.redis_pool import QuickPool, QuickSentinelPool, WaitingPool

AnyRedis: TypeAlias = Redis | RedisCluster

COMMAND_TIMEOUT: Final = 1.0
"""Seconds that Redis may take for an ordinary command: Feishu waits 3 s for the whole request."""
CONNECT_TIMEOUT: Final = 0.5
MAX_CONNECTIONS: Final = 64
MAX_BLOCKED: Final = 1024
# A peer that vanished without a word would keep a blocking read waiting for ever.
_KEEPALIVE: Final = {
    getattr(socket, option): seconds
    for option, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, option)
}

_TLS_OPTIONS: Final = frozenset(
    {
        *("ssl_ca_certs", "ssl_ca_data", "ssl_cert_reqs", "ssl_check_hostname"),
        *("ssl_certfile", "ssl_keyfile", "ssl_ciphers", "ssl_min_version"),
    }
)

_FORMS: Final = (
    "redis://[user:password@]host:port/db, rediss://…?ssl_ca_certs=FILE, unix:///path/to/socket, "
    "redis+sentinel://host:port,host:port/master/db or redis+cluster://host:port,host:port"
)


@dataclass(frozen=True)
class RedisLink:
    """One way to one Redis: a client for commands and one whose reads may block."""

    commands: AnyRedis
    blocking: AnyRedis
    """Has no socket time-out, for BLPOP, XREADGROUP BLOCK and pub/sub."""
    cluster: bool
    _closers: tuple[Callable[[], Awaitable[None]], ...] = field(default=(), repr=False)

    async def close(self) -> None:
        """Close every connection; a read that still blocks fails."""
        for close in self._closers:
            await close()


def holder(redis: AnyRedis, key: str) -> str:
    """The Cluster node that has the key; one name for all without a Cluster, and while its layout is not known."""
    if isinstance(redis, Redis):
        return ""
    nodes = redis.nodes_manager.slots_cache.get(redis.keyslot(key))
    return nodes[0].name if nodes else ""


async def connect(url: str) -> RedisLink:
    """Build the clients for a URL; nothing is sent yet. ConfigError when it cannot be understood."""
    try:
        scheme = urlsplit(url).scheme
        if scheme in ("redis", "rediss", "unix"):
            return _single(url)
        if scheme in ("redis+sentinel", "rediss+sentinel"):
            return _sentinel(urlsplit(url))
        if scheme in ("redis+cluster", "rediss+cluster"):
            return _cluster(urlsplit(url))
        problem = f"{scheme or 'no'}:// is not a way to Redis"
    except _UrlFault as fault:
        problem = str(fault)
    except ValueError:
        # urllib's and redis-py's own messages quote the URL, which may hold a password.
        problem = "the URL cannot be read"
    raise ConfigError([Fault("HUB_REDIS_URL", "redis.url", f"{problem}; allowed are embedded, {_FORMS}")])


class _UrlFault(Exception):
    """What is wrong with the URL, in words that hold no secret."""


def _single(url: str) -> RedisLink:
    options: dict[str, Any] = dict(parse_url(url))
    parts = urlsplit(url)
    tcp = parts.scheme != "unix"
    _allow(options, {"username", "password", "host", "port", "db", "path", "connection_class"}, parts)
    if not tcp and not options.get("path", "").startswith("/"):
        raise _UrlFault("the path of a unix:// URL has to be absolute, as in unix:///run/redis.sock")
    if tcp and not (parts.path.strip("/").isdecimal() or parts.path in ("", "/")):
        raise _UrlFault("what follows the host has to be the number of a database")
    # A pool that waits: more callers than connections are no reason to call Redis out of reach.
    commands = WaitingPool(
        max_connections=MAX_CONNECTIONS, timeout=COMMAND_TIMEOUT, **_settings(COMMAND_TIMEOUT, tcp), **options
    )
    blocking = QuickPool(max_connections=MAX_BLOCKED, **_settings(None, tcp), **options)
    clients = Redis.from_pool(commands), Redis.from_pool(blocking)
    return RedisLink(*clients, cluster=False, _closers=tuple(client.aclose for client in clients))


def _sentinel(url: SplitResult) -> RedisLink:
    options, hosts = many_hosts(url, 26379)
    parts = url.path.strip("/").split("/")
    if not parts[0] or len(parts) > 2 or (len(parts) == 2 and not parts[1].isdecimal()):
        raise _UrlFault("a Sentinel URL ends in the master's name and, if it is not 0, the database's number")
    _allow(options, {"username", "password", "ssl", "sentinel_username", "sentinel_password"}, url)
    options["db"] = int(parts[1]) if len(parts) == 2 else 0
    guards = {
        key.removeprefix("sentinel_"): options.pop(key)
        for key in ("sentinel_username", "sentinel_password")
        if key in options
    }

    def client(timeout: float | None, size: int) -> tuple[Redis, Sentinel]:
        sentinel = Sentinel(hosts, sentinel_kwargs=_settings(CONNECT_TIMEOUT, tcp=True) | guards)
        master = sentinel.master_for(
            unquote(parts[0]),
            connection_pool_class=QuickSentinelPool,
            max_connections=size,
            **_settings(timeout, tcp=True),
            **options,
        )
        return master, sentinel

    commands, sentinel = client(COMMAND_TIMEOUT, MAX_BLOCKED)
    blocking, blocking_sentinel = client(None, MAX_BLOCKED)
    closers = commands.aclose, blocking.aclose, sentinel.aclose, blocking_sentinel.aclose
    return RedisLink(commands, blocking, cluster=False, _closers=closers)


def _cluster(url: SplitResult) -> RedisLink:
    options, hosts = many_hosts(url, 6379)
    if url.path.strip("/") not in ("", "0"):
        raise _UrlFault("a Redis Cluster has database 0 only")
    _allow(options, {"username", "password", "ssl"}, url)

    def client(timeout: float | None) -> RedisCluster:
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in hosts],
            max_connections=MAX_BLOCKED,
            # Only the slot that moved is noted. Otherwise every fifth move would close all connections under the calls
            # on them, and so would the first calls of all, which go to any node until the client knows the cluster.
            reinitialize_steps=0,
            **_settings(timeout, tcp=True),
            **options,
        )

    clients = client(COMMAND_TIMEOUT), client(None)
    return RedisLink(*clients, cluster=True, _closers=tuple(client.aclose for client in clients))


def _settings(timeout: float | None, tcp: bool) -> dict[str, Any]:
    """Everything that redis-py would otherwise choose by itself: its retries hide an outage for up to a minute."""
    settings: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "health_check_interval": 0,
        "protocol": 3,
        "decode_responses": False,
        # CLIENT SETINFO is two more commands a connection, which older servers and some ACLs refuse.
        "driver_info": None,
    }
    if tcp:
        settings["socket_keepalive"] = True
        settings["socket_keepalive_options"] = _KEEPALIVE
        settings["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    return settings


def many_hosts(url: SplitResult, port: int) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """The options and hosts of a URL that names several hosts."""
    options: dict[str, Any] = dict(parse_url(f"redis://?{url.query}"))
    account, _, hosts = url.netloc.rpartition("@")
    user, _, password = account.partition(":")
    if user:
        options["username"] = unquote(user)
    if password:
        options["password"] = unquote(password)
    if url.scheme.startswith("rediss"):
        options["ssl"] = True
    addresses = []
    for host in hosts.split(","):
        address = urlsplit(f"//{host}")
        if not address.hostname:
            raise _UrlFault("a host is missing")
        addresses.append((address.hostname, address.port or port))
    return options, addresses


def _allow(options: Mapping[str, object], names: set[str], url: SplitResult) -> None:
    """Refuse options that would otherwise reach redis-py unseen, its time-outs and retries among them."""
    if url.scheme.startswith("rediss"):
        names |= _TLS_OPTIONS
    if unknown := sorted(options.keys() - names):
        raise _UrlFault(f"it has an option that is not known for {url.scheme}://: {', '.join(unknown)}")
