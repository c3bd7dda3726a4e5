"""Waiting until replicas hold what a script wrote, where `redis.min_replicas_ack` asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from app.core.errors import StoreUnavailable
from app.core.lua import Script
from app.core.outage import guard
from app.core.redis import COMMAND_TIMEOUT, AnyRedis
from app.core.wire import Arg, exchange

# How long replicas have to say so (ms), within the time of a commit.
_WITHIN: Final = 400
_MARKER_TTL: Final = 10


class Replicas:
    """Runs scripts whose reply counts only once `wanted` replicas hold all that was written until then.

    WAIT speaks for the connection that says it, and of the last thing that this one wrote (Redis docs: WAIT); a script
    that finds only duplicates writes nothing, though what it found may not be on the replicas yet. So a marker is
    written behind every script, and WAIT said behind the marker, on one connection to the server that ran the script.
    """

    def __init__(self, redis: AnyRedis, wanted: int) -> None:
        self._redis = redis
        self._wanted = wanted

    async def run(self, script: Script, key: str, args: Sequence[Arg], marker: str) -> Any:
        """The script's reply; StoreUnavailable where too few replicas confirm it. `marker` is a key of its slot."""
        with guard():
            async with asyncio.timeout(COMMAND_TIMEOUT):
                commands: tuple[tuple[Arg, ...], ...] = (
                    ("SET", marker, b"1", "EX", _MARKER_TTL),
                    ("WAIT", self._wanted, _WITHIN),
                )
                if isinstance(self._redis, Redis):
                    said = await self._on_one_connection(self._redis, script, (1, key, *args), commands)
                else:
                    said = await self._on_one_node(script, key, args, commands)
            for reply in said:
                if isinstance(reply, Exception):
                    raise reply
        result, _, acked = said
        if int(acked) < self._wanted:
            raise StoreUnavailable(
                f"only {acked} of {self._wanted} replicas acknowledged a write (redis.min_replicas_ack): see that the "
                "replicas run and keep up"
            )
        return result

    async def _on_one_connection(
        self, redis: Redis, script: Script, call: tuple[Arg, ...], behind: Sequence[tuple[Arg, ...]]
    ) -> list[Any]:
        said = await exchange(redis, ("EVALSHA", script.sha, *call), *behind)
        if isinstance(said[0], NoScriptError):
            said = await exchange(redis, ("EVAL", script.text, *call), *behind)
        return said

    async def _on_one_node(
        self, script: Script, key: str, args: Sequence[Arg], behind: Sequence[tuple[Arg, ...]]
    ) -> list[Any]:
        """The node is chosen before: where the slot moves meanwhile, the marker is refused there."""
        redis = self._redis
        assert not isinstance(redis, Redis)
        await redis.initialize()
        node = redis.get_node_from_key(key)
        result = await script(redis, [key], args)
        pipe = redis.pipeline()
        for command in behind:
            pipe.execute_command(*command, target_nodes=node)
        return [result, *await pipe.execute(raise_on_error=False, allow_redirections=False)]
