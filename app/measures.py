"""What is measured when somebody asks: bots with what waits for them, and the gauges of /metrics."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.channel.usage import Usage
from app.control.admin.followers import Followers
from app.control.health.counted import Counted
from app.control.health.exporter import Gauges
from app.control.health.limit_gauges import LimitGauges, limit_gauges
from app.control.registry.left import LeftBehind, removed_bot
from app.control.registry.snapshot import Registry
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.front import Front
from app.gateway.counts import Counts
from app.queue.depths import Depth, Depths
from app.queue.envelope import Entry
from app.sending import limits_of
from app.storage.archiver import Archiver
from app.storage.vault import DatabaseVault
from app.wiring import Stores
from app.worker.lanes import Lanes


class Measures:
    """Asks Redis and the parts of the node; without Redis it says what it can."""

    def __init__(self, stores: Stores, registry: Registry, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.stores = stores
        self.registry = registry
        self._clock = clock
        self.front: Front | None = None
        self.lanes: Lanes | None = None
        self.followers: Followers | None = None
        self.archiver: Archiver[Entry] | None = None
        vault = DatabaseVault(stores.database)
        self._left_behind = LeftBehind(stores.link, stores.keys, stores.keyring, vault, clock=clock)
        self.usage = Usage(stores.link, stores.keys, limits_of(stores.settings))
        """How far Feishu's limits are used."""
        self.counted = Counted(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        """What the processes of this node have counted."""

    async def limits(self) -> LimitGauges:
        """What the metrics page shows of Feishu's limits."""
        return await limit_gauges(self.usage)

    async def bots(self) -> Sequence[Mapping[str, Any]]:
        """Every bot with its state, its faults and what waits for it; removed ones as long as something does."""
        depths, up = await self._depths()
        left = await self._left() if up else {}
        configured = [
            {
                "id": bot,
                "state": self.state(bot),
                "app_id": status.spec.credentials.app_id if status.spec else None,
                "handler": status.spec.config.handler if status.spec else None,
                "faults": [*map(str, status.faults), *self._code_faults(bot)],
                "waiting": depths[bot].waiting if bot in depths else None,
                "dead": depths[bot].dead if bot in depths else None,
                "to_send": depths[bot].to_send if bot in depths else None,
            }
            for bot, status in self.registry.statuses.items()
        ]
        return [*configured, *(removed_bot(bot, depth) for bot, depth in left.items())]

    async def gauges(self) -> Gauges:
        """What the metrics page shows of this moment."""
        depths, up = await self._depths()
        now = self._clock.now()
        spool = self.front.spool if self.front else None
        return Gauges(
            waiting={bot: depth.waiting for bot, depth in depths.items()},
            dead={bot: depth.dead for bot, depth in depths.items()},
            outbox_waiting={bot: depth.to_send for bot, depth in depths.items()},
            outbox_age={bot: max(0.0, now - (depth.to_send_since or now)) for bot, depth in depths.items()},
            bots=Counter(map(self.state, self.registry.statuses)),
            spool_events=spool.depth if spool else 0,
            spool_bytes=spool.bytes if spool else 0,
            redis_up=up,
            archive_waiting=await self._unarchived() if up else 0,
            database_away=self.database_away,
            workers=len(self.lanes.pids) if self.lanes else 0,
            followers=self.followers.count if self.followers else 0,
            followers_refused=self.followers.refused if self.followers else 0,
        )

    def state(self, bot: str) -> str:
        """The state of its directory; of a bot whose code cannot be used, that of its code."""
        state = self.registry.statuses[bot].state
        fault = self.lanes.faults.get(bot) if self.lanes and state == "ready" else None
        return state if fault is None else "outdated" if fault.runs else "broken"

    def _code_faults(self, bot: str) -> list[str]:
        fault = self.lanes.faults.get(bot) if self.lanes else None
        return [] if fault is None else [fault.text]

    def gateway(self) -> Counts:
        """The gateway's own counters."""
        return self.front.counts.copied() if self.front else Counts()

    @property
    def spooled(self) -> int:
        """How many events wait in this node's spool."""
        return self.front.spooled if self.front else 0

    @property
    def database_away(self) -> float:
        """For how many seconds this node's archiver has not been able to write the message store."""
        archiver = self.archiver
        return self._clock.monotonic() - archiver.away_since if archiver and archiver.away else 0.0

    def faults(self) -> dict[str, int]:
        """How many faults each broken bot has, in its directory and its code."""
        counts = {
            bot: len(status.faults) + len(self._code_faults(bot)) for bot, status in self.registry.statuses.items()
        }
        return {bot: count for bot, count in counts.items() if count}

    async def _left(self) -> Mapping[str, Depth]:
        try:
            return await self._left_behind.read(self.registry.statuses)
        except StoreUnavailable:
            return {}

    async def _unarchived(self) -> int:
        try:
            return await self.stores.log.lag(tuple(self.registry.statuses))
        except StoreUnavailable:
            return 0

    async def _depths(self) -> tuple[Mapping[str, Depth], bool]:
        """What lies in the queues of each bot, and whether Redis could be asked."""
        try:
            return await Depths(self.stores.link, self.stores.keys).read(self.registry.statuses), True
        except StoreUnavailable:
            return {}, False
