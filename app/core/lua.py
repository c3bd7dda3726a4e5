"""Lua scripts kept in files, and the group commit that sends many calls in one round trip."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.core.errors import StoreUnavailable
from app.core.logs import get_logger
from app.core.outage import guard, hangs, unavailable
from app.core.redis import COMMAND_TIMEOUT, AnyRedis, holder
from app.core.wire import Arg, exchange, pack, reply, send

log = get_logger(__name__)

Unclaimed: TypeAlias = Callable[[Any], None]

MAX_BYTES: Final = 1 << 20


class Script:
    """A `.lua` file, after those whose functions it uses; called with a client, it runs there as one atomic step.

    One that begins with `#!lua flags=allow-oom` runs on a Redis that is full too: it ends or frees what was accepted.
    """

    __slots__ = ("name", "sha", "text")

    def __init__(self, *paths: Path) -> None:
        self.name = paths[-1].name
        *before, own = (path.read_bytes() for path in paths)
        flags, own = own.split(b"\n", 1) if own.startswith(b"#!") else (b"", own)
        self.text = b"".join((flags, b"\n" if flags else b"", *before, own))
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"Script({self.name})"

    async def __call__(self, redis: AnyRedis, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run it and return its reply; StoreUnavailable when Redis cannot keep it, else redis-py's error.

        A client without a time-out of its own is the cheaper one: the round trip is bounded here.
        """
        with guard():
            if isinstance(redis, Redis):
                return await self._direct(redis, keys, args)
            keys = in_one_place(keys)
            try:
                return await redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
            except NoScriptError:
                # A restart, a failover or SCRIPT FLUSH forgets scripts; EVAL teaches this one again.
                return await redis.execute_command("EVAL", self.text, len(keys), *keys, *args)

    async def _direct(self, redis: Redis, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            [said] = await exchange(redis, (b"EVALSHA", self.sha, len(keys), *keys, *args))
            if isinstance(said, NoScriptError):
                [said] = await exchange(redis, (b"EVAL", self.text, len(keys), *keys, *args))
        if isinstance(said, Exception):
            raise said
        return said


def in_one_place(keys: Sequence[str]) -> Sequence[str]:
    """The keys of a script as a Cluster is to hear them: of a bot's it is never only one.

    While a slot moves, a node that gets it runs what names one key, though most of what the script works with may not
    be there yet. A second key, which never is, has it answer TRYAGAIN (Redis docs: Cluster specification).
    """
    return (keys[0], f"{keys[0]}nowhere") if len(keys) == 1 and "{" in keys[0] else keys


class _Call:
    """One caller's script call and the future it waits on."""

    __slots__ = ("args", "done", "keys", "packed", "script", "unclaimed")

    def __init__(self, script: Script, keys: Sequence[str], args: Sequence[Arg], unclaimed: Unclaimed | None) -> None:
        self.script = script
        self.keys = keys
        self.args = args
        self.unclaimed = unclaimed
        self.packed = pack((b"EVALSHA", script.sha, len(keys), *keys, *args))
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(self, said: Any) -> bool:
        """Hand the reply, or the error that Redis answered, to the caller; False if Redis lacks the script."""
        if isinstance(said, Exception):
            if isinstance(said, NoScriptError):
                return False
            self.fail(said)
        elif not self.done.done():
            self.done.set_result(said)
        elif self.unclaimed is not None:
            self.unclaimed(said)
        return True

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(unavailable(error) or error)


class _Lane:
    """Calls that share round trips: all of them, or on a Cluster those of one node."""

    __slots__ = ("node", "task", "waiting")

    def __init__(self, node: str) -> None:
        self.node = node
        self.waiting: deque[_Call] = deque()
        self.task: asyncio.Task[None] | None = None


class Pipeliner:
    """Group commit: calls made while a round trip is in flight go out together in the next one."""

    def __init__(
        self,
        redis: AnyRedis,
        *,
        cluster: bool,
        max_calls: int = 256,
        max_bytes: int = MAX_BYTES,
        timeout: float = COMMAND_TIMEOUT,
    ) -> None:
        """`max_calls` and `max_bytes` bound one round trip, `timeout` its seconds."""
        self._redis = redis
        self._cluster = cluster
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._lanes: dict[str, _Lane] = {}

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """The call's own reply or its own error; StoreUnavailable when its round trip failed."""
        return await self.submit(script, keys, args)

    def submit(
        self, script: Script, keys: Sequence[str], args: Sequence[Arg], unclaimed: Unclaimed | None = None
    ) -> asyncio.Future[Any]:
        """The same, awaited later: what is submitted together goes out together.

        `unclaimed` is handed the reply where the future was cancelled after the call had gone out.
        """
        call = _Call(script, keys, args, unclaimed)
        node = holder(self._redis, keys[0])
        lane = self._lanes.get(node)
        if lane is None:
            lane = self._lanes[node] = _Lane(node)
        lane.waiting.append(call)
        if lane.task is None:
            lane.task = asyncio.create_task(self._drain(lane))
        return call.done

    async def settled(self) -> None:
        """Wait until all that was submitted has been answered, or has failed."""
        if tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks)

    async def _drain(self, lane: _Lane) -> None:
        """Send what waits, one round trip after the other, until nothing does."""
        batch: list[_Call] = []
        try:
            while lane.waiting:
                batch = self._take(lane)
                try:
                    async with asyncio.timeout(self._timeout):
                        await (self._send_to_cluster(batch) if self._cluster else self._send(batch))
                except Exception as error:
                    for call in batch:
                        call.fail(error)
                    if hangs(error):
                        # Redis hangs. The calls behind this round trip have waited about as long, and none of them was
                        # sent.
                        for call in lane.waiting:
                            call.fail(error)
                        lane.waiting.clear()
                    if self._cluster and unavailable(error):
                        await self._learn_layout(lane.node)
        finally:
            lane.task = None
            # Only a cancelled task leaves anyone behind.
            for call in (*batch, *lane.waiting):
                call.fail(StoreUnavailable("the hub is stopping and sends nothing more to Redis"))
            lane.waiting.clear()

    def _take(self, lane: _Lane) -> list[_Call]:
        batch: list[_Call] = []
        size = 0
        while lane.waiting and len(batch) < self._max_calls:
            call = lane.waiting[0]
            size += len(call.packed)
            if batch and size > self._max_bytes:
                break
            lane.waiting.popleft()
            if not call.done.done():  # else its caller gave up before anything was sent
                batch.append(call)
        return batch

    async def _send(self, batch: list[_Call]) -> None:
        """One round trip over one connection, and a second one for scripts that Redis has forgotten."""
        assert isinstance(self._redis, Redis)
        pool: ConnectionPool = self._redis.connection_pool
        connection = await pool.get_connection()
        try:
            await send(connection, [call.packed for call in batch])
            forgotten = [call for call in batch if not call.settle(await reply(connection))]
            if forgotten:
                scripts = {call.script.sha: call.script for call in forgotten}
                loads = [pack((b"SCRIPT", b"LOAD", script.text)) for script in scripts.values()]
                await send(connection, [*loads, *(call.packed for call in forgotten)])
                loaded = {sha: await reply(connection) for sha in scripts}
                for call in forgotten:
                    if not call.settle(await reply(connection)):
                        call.fail(loaded[call.script.sha])
        except BaseException:
            # Replies that nobody read must not meet the next round trip.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)

    async def _send_to_cluster(self, batch: list[_Call]) -> None:
        """One round trip through redis-py's pipeline, which follows slots that moved."""
        assert isinstance(self._redis, RedisCluster)
        pipe = self._redis.pipeline()
        for call in batch:
            # evalsha() is blocked in a cluster pipeline; the command itself is not.
            keys = in_one_place(call.keys)
            pipe.execute_command("EVALSHA", call.script.sha, len(keys), *keys, *call.args)
        lost: Exception | None = None
        for call, said in zip(batch, await pipe.execute(raise_on_error=False), strict=True):
            if isinstance(said, (RedisConnectionError, RedisTimeoutError)):
                lost = said
            if not call.settle(said):
                try:
                    call.settle(await call.script(self._redis, call.keys, call.args))
                except Exception as error:
                    call.fail(error)
        if lost is not None:
            raise lost

    async def _learn_layout(self, node: str) -> None:
        """Ask the Cluster who has which slots now; redis-py's pipeline does not when a node is dead."""
        assert isinstance(self._redis, RedisCluster)
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.nodes_manager.initialize(last_failed_node_name=node or None)
        except Exception as error:
            log.warning("the cluster's layout could not be read", node=node, error=type(error).__name__)
