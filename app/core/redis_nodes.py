"""What is asked of a Redis as a whole: of a Cluster every primary answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError, ResponseError

from app.core.errors import StartError
from app.core.outage import guard, unavailable
from app.core.redis import RedisLink


async def ask(link: RedisLink, *command: str) -> list[Any]:
    """Run a command about the server itself; the answer of each node."""
    if not isinstance(link.commands, RedisCluster):
        return [await link.commands.execute_command(*command)]
    await link.commands.initialize()
    # The nodes themselves: redis-py understands its own words for them only with commands that it has a policy for.
    answer = await link.commands.execute_command(*command, target_nodes=link.commands.get_primaries())
    by_node = isinstance(answer, dict) and answer and all(isinstance(value, dict) for value in answer.values())
    return list(answer.values()) if by_node else [answer]


async def scan(link: RedisLink, match: str) -> AsyncIterator[bytes]:
    """The names of all keys that match a pattern; some may come twice."""
    where: dict[str, Any] = {}
    if isinstance(link.commands, RedisCluster):
        await link.commands.initialize()
        where = {"target_nodes": link.commands.get_primaries()}
    async for name in link.commands.scan_iter(match=match, count=1000, **where):
        yield bytes(name)


def literally(text: str) -> str:
    """A pattern that matches only the text itself."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def said(value: object) -> str:
    """A value of an answer as text, whether or not redis-py has decoded it."""
    return value.decode() if isinstance(value, bytes) else str(value)


async def check_external(link: RedisLink) -> list[str]:
    """What makes this Redis unsafe for a queue, one sentence each.

    StartError if it cannot serve one at all, StoreUnavailable if it does not answer.
    """
    warnings: list[str] = []
    with guard():
        for info in await ask(link, "INFO", "server"):
            version = str(info.get("redis_version", ""))
            if version and int(version.partition(".")[0]) < 7:
                raise StartError(
                    f"Redis {version} is older than 7.0, the oldest that knows the hub's scripts: upgrade it"
                )
        try:
            appendonly = await ask(link, "CONFIG GET", "appendonly")
            policy = await ask(link, "CONFIG GET", "maxmemory-policy")
        except (NoPermissionError, ResponseError) as error:
            if unavailable(error) is not None and not isinstance(error, NoPermissionError):
                raise
            warnings.append(
                "Redis does not show its configuration (CONFIG is forbidden), so it could not be checked: "
                "make sure that appendonly is yes and maxmemory-policy is noeviction."
            )
            return _distinct(warnings)
    if any(said(answer.get("appendonly")) == "no" for answer in appendonly):
        warnings.append("Redis keeps no append-only file, so its crash loses accepted events: set appendonly to yes.")
    for answer in policy:
        if (found := said(answer.get("maxmemory-policy"))) != "noeviction":
            warnings.append(
                f"Redis may throw queued events away when its memory is full (maxmemory-policy is {found}): "
                "set maxmemory-policy to noeviction."
            )
    return _distinct(warnings)


def _distinct(sentences: list[str]) -> list[str]:
    return list(dict.fromkeys(sentences))
