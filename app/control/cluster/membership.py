"""The nodes' heartbeats: who is alive, and in what state; a second living holder of an id is refused."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import psutil

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StartError, StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Script
from app.core.outage import guard
from app.core.redis import RedisLink
from app.core.though_full import though_full

_BEAT = Script(Path(__file__).parent / "beat.lua")

BEAT: Final = 1.0
# Three missed beats and the node counts as dead.
ALIVE_MS: Final = 3_500

log = get_logger(__name__)


class Membership:
    """Says once a second that this node is alive; all methods but `run` raise StoreUnavailable without Redis."""

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        node_id: str,
        boot: str,
        describe: Callable[[], Mapping[str, str]],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._link = link
        self._keys = keys
        self._clock = clock
        self._node_id = node_id
        self._boot = boot
        self._describe = describe
        self._away_since: float | None = None
        self.heard = -math.inf
        """When the last heartbeat that reached Redis began (monotonic seconds)."""

    @property
    def away(self) -> float:
        """Seconds for which no heartbeat has reached Redis; 0 while they do."""
        return 0.0 if self._away_since is None else self._clock.monotonic() - self._away_since

    async def join(self) -> None:
        """Take the id; StartError while another living process holds it."""
        deadline = self._clock.monotonic() + ALIVE_MS / 1000 + 1
        # A node killed a moment ago still counts as alive: wait as long as its last beat may count.
        while (holder := await self._beat()) is not None:
            if _died_here(holder):
                await self.leave()
                continue
            if self._clock.monotonic() > deadline:
                raise StartError(
                    f"node id {self._node_id} is held by a living process ({holder}): give this node another "
                    "HUB_NODE_ID or data_dir"
                )
            await self._clock.sleep(0.2)

    async def run(self) -> None:
        """Send heartbeats until cancelled; outlives every outage."""
        while True:
            await self._clock.sleep(BEAT)
            began = self._clock.monotonic()
            try:
                holder = await self._beat()
                if holder is not None:
                    log.error("another process took this node's id", node=self._node_id, holder=holder)
                self._away_since, self.heard = None, began
            except StoreUnavailable as error:
                if self._away_since is None:
                    self._away_since = began
                    log.warning("heartbeats do not reach Redis", error=str(error))

    async def leave(self) -> None:
        """Say that this node is gone, so that its id is free at once."""
        with guard():
            await self._link.commands.delete(self._keys.node(self._node_id))
            # Forgotten: a node that ended in an orderly way is not missed.
            await self._link.commands.zrem(self._keys.nodes, self._node_id)

    async def forget(self, node_id: str) -> None:
        """Forget a dead node; a living one reappears within a second."""
        with guard():
            await self._link.commands.zrem(self._keys.nodes, node_id)

    async def nodes(self) -> list[dict[str, Any]]:
        """Every node ever seen."""
        return await nodes_of(self._link, self._keys)

    async def _beat(self) -> str | None:
        said = {"boot": self._boot, "where": f"{socket.gethostname()} pid {os.getpid()}", **self._describe()}
        fields = [part for pair in said.items() for part in pair]
        # Written apart, since on Cluster the two keys lie in different slots; the list is only for people to read.
        reply = await _BEAT(self._link.commands, [self._keys.node(self._node_id)], [self._boot, ALIVE_MS, *fields])
        if reply:
            return str(reply.decode())
        await though_full(self._link.commands, "ZADD", self._keys.nodes, self._clock.now(), self._node_id)
        return None


async def nodes_of(link: RedisLink, keys: Keys) -> list[dict[str, Any]]:
    """Every node ever seen: its id, when last seen (seconds since the epoch), whether alive; if so, its heartbeat."""
    with guard():
        seen: Any = await link.commands.zrange(keys.nodes, 0, -1, withscores=True)
        found = []
        for name, last in seen:
            node = name.decode()
            fields: Any = await link.commands.hgetall(keys.node(node))
            said: dict[str, Any] = {key.decode(): value.decode() for key, value in fields.items()}
            if "vitals" in said:
                said["vitals"] = orjson.loads(said["vitals"])
            found.append({"id": node, "last_seen": last, "alive": bool(said), **said})
    return found


def holds_master(node: Mapping[str, Any], key_id: str) -> bool:
    """Whether a node of `nodes_of` has said that it holds this master key."""
    return key_id in str(node.get("master_keys", "")).split(",")


def has_rewrapped(node: Mapping[str, Any], key_id: str) -> bool:
    """Whether a node of `nodes_of` has said that this master key, its first, wraps all that it keeps itself."""
    return str(node.get("master_keys", "")).split(",")[0] == key_id and node.get("rewrapped") == "1"


def _died_here(holder: str) -> bool:
    """Whether the holder was a process on this machine that is gone: a killed node may restart at once."""
    host, _, pid = holder.rpartition(" pid ")
    return (
        host == socket.gethostname() and pid.isdecimal() and int(pid) != os.getpid() and not psutil.pid_exists(int(pid))
    )
