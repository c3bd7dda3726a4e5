"""A synchronous client for the same URLs, for the one thread that must not wait for an event loop."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from redis.sentinel import Sentinel

from app.core.redis import COMMAND_TIMEOUT, CONNECT_TIMEOUT, many_hosts


def connect_in_thread(url: str) -> Any:
    """A client of the redis package; `url` is one that `connect` took. Nothing is sent yet."""
    options: dict[str, Any] = {
        "socket_timeout": COMMAND_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
        "driver_info": None,
    }
    split = urlsplit(url)
    if split.scheme in ("redis", "rediss", "unix"):
        return Redis.from_url(url, **options)
    if split.scheme.endswith("+cluster"):
        more, hosts = many_hosts(split, 6379)
        return RedisCluster(startup_nodes=[ClusterNode(host, port) for host, port in hosts], **options, **more)
    more, hosts = many_hosts(split, 26379)
    name, _, database = split.path.strip("/").partition("/")
    guards = {key.removeprefix("sentinel_"): more.pop(key) for key in list(more) if key.startswith("sentinel_")}
    sentinel = Sentinel(hosts, sentinel_kwargs=options | guards)
    return sentinel.master_for(unquote(name), db=int(database or 0), **options, **more)
