"""Tells errors that mean "nothing can be kept safe here now" from errors of the program, for Redis."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from redis import exceptions as redis_errors

from app.core.errors import StoreUnavailable

# By the first word of Redis' answer, which redis-py moves to status_code where it has a class for it.
_REFUSALS: Final = {
    "OOM": "Redis is out of memory and refuses writes: raise maxmemory, or see what fills its queues",
    "MISCONF": "Redis cannot write to its disk and refuses writes: free disk space and read the Redis log",
    "READONLY": "this Redis is a replica and refuses writes: point redis.url at the primary, or use Sentinel",
    "LOADING": "Redis is still reading its data from disk: wait until it has",
    "NOREPLICAS": "Redis has too few replicas (min-replicas-to-write) and refuses writes: bring them back",
    "MASTERDOWN": "this Redis is a replica that lost its primary: bring the primary back",
    "CLUSTERDOWN": "the Redis Cluster is down or does not cover every slot: see CLUSTER INFO",
    "TRYAGAIN": "the Redis Cluster is moving this slot: it can be tried again in a moment",
    "MOVED": "the Redis Cluster moved this slot: it can be tried again in a moment",
    "ASK": "the Redis Cluster is moving this slot: it can be tried again in a moment",
    "UNBLOCKED": "this Redis became a replica while a read waited on it: it can be tried again in a moment",
    "BUSY": "Redis is busy with a script that does not end: see SCRIPT KILL",
    "NOPERM": "the Redis user in redis.url may not do this: give it all commands and keys under the prefix",
    "NOAUTH": "Redis wants a password: put it into redis.url",
    "WRONGPASS": "Redis refuses user or password: check redis.url",
}
# RedisClusterException is also raised for wrong commands; these openings are about the cluster's state.
_CLUSTER_STATE: Final = (
    "Redis Cluster cannot be connected",
    "All slots are not covered",
    "startup_nodes could not agree",
    "Slot ",
)


def unavailable(error: BaseException) -> StoreUnavailable | None:
    """The error as StoreUnavailable, saying what to do; None for one of the program (WRONGTYPE, script)."""
    message = _message(error)
    return None if message is None else StoreUnavailable(message)


def hangs(error: BaseException | None) -> bool:
    """Whether Redis did not answer in time, as opposed to refusing or being gone."""
    if isinstance(error, redis_errors.TimeoutError | TimeoutError):
        return True
    # A time-out while shaking hands over a unix socket comes wrapped in a ConnectionError.
    return isinstance(error, redis_errors.ConnectionError) and hangs(error.__cause__)


class guard:
    """`with guard():` around Redis calls raises StoreUnavailable for what `unavailable` recognises."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        translated = unavailable(error)
        if translated is not None:
            raise translated from error


def _message(error: BaseException) -> str | None:
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if isinstance(error, redis_errors.RedisError) and code in _REFUSALS:
        return _REFUSALS[code]
    if hangs(error):
        return "Redis did not answer in time: see whether it hangs, swaps or waits for its disk"
    match error:
        case redis_errors.AuthenticationError() | redis_errors.AuthorizationError():
            return _REFUSALS["WRONGPASS"]
        case redis_errors.MaxConnectionsError():
            return "all connections to Redis are in use: see whether it answers slowly"
        case redis_errors.ConnectionError() | redis_errors.InvalidResponse() | OSError():
            return "Redis is out of reach or hung up: see that it runs and that redis.url is right"
        case redis_errors.ClusterError() | redis_errors.SlotNotCoveredError():
            return _REFUSALS["CLUSTERDOWN"]
        case redis_errors.RedisClusterException() if str(error).startswith(_CLUSTER_STATE):
            return _REFUSALS["CLUSTERDOWN"]
        case RuntimeError() if "the handler is closed" in str(error):
            # uvloop's words for a write to a connection that Redis has just closed.
            return "Redis closed the connection: see that it runs"
    return None
