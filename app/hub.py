"""A node: starts its roles in order, runs until told to stop, and ends them in reverse."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

from app.alerting import Alerting, open_alerts
from app.archive import open_archive
from app.back import details, open_back
from app.control.admin.auth import admin_token
from app.control.cluster.identity import node_id
from app.control.cluster.membership import Membership
from app.control.health.status import Health
from app.control.registry.directories import code_stamp
from app.control.registry.modules import handler_directories
from app.control.registry.watch import FileWatch
from app.control.scheduler.firing import Firing
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.ending import ended
from app.core.engine import EmbeddedEngine
from app.core.heap import settle
from app.core.logs import get_logger
from app.core.pubsub import heard
from app.core.settings import Settings
from app.core.tasks import started
from app.front import Front, open_front
from app.gateway.http import OneWriteProtocol
from app.handling import open_lanes
from app.joining import joined
from app.key_care import shredded_rows_of, upkeep_of
from app.listening import bind, serving
from app.measures import Measures
from app.outgoing import open_outgoing
from app.plan import Plan, Workers
from app.reporting import open_reporting
from app.sending import open_sender
from app.storage.backup_scratch import clear_after_backups
from app.wiring import Stores, stores_at
from app.worker.lanes import Lanes
from app.worker.takeover import Takeover

log = get_logger(__name__)


class Node:
    """One running node; `public` and `admin` are where its listeners are bound."""

    def __init__(self, plan: Plan, workers: Workers | None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.plan = plan
        self.settings = plan.settings
        self._workers = workers
        self._clock = clock
        self._stopping = asyncio.Event()
        self._boot = secrets.token_hex(4)
        self.public = self.admin = ("", 0)
        self.stores: Stores
        self.registry = plan.registry
        self.token = ""
        self._name = ""
        self._engine: EmbeddedEngine | None = None
        self._front: Front | None = None
        self._lanes: Lanes | None = None
        self._alerts: Alerting | None = None
        self._code_seen = False
        self._preloads: set[asyncio.Task[None]] = set()

    @property
    def token_file(self) -> Path:
        """Where the admin token stands."""
        return self.settings.data_dir / "admin_token"

    def stop(self) -> None:
        """Begin to end, in order."""
        self._stopping.set()
        if self._lanes is not None:
            self._lanes.expect_end()

    async def run(self) -> int:
        """Until told to stop; the process' exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with AsyncExitStack() as closing:
            if self.plan.on_stop is not None:
                closing.push_async_callback(self.plan.on_stop)
            await self._start(closing)
            settle()
            if self.plan.on_ready is not None:
                await self.plan.on_ready(self)
            log.info("node ready", node=self._name, roles=sorted(self.settings.active_roles), port=self.public[1])
            lost = asyncio.create_task(self._lost_nursery())
            stopping = asyncio.create_task(self._stopping.wait())
            refused = asyncio.create_task(self._refused())
            await asyncio.wait({lost, stopping, refused}, return_when=asyncio.FIRST_COMPLETED)
            log.info("node stopping", node=self._name)
            self.health.draining = True
            status = 1 if lost.done() else 0
            if refused.done():
                refused.result()
            for task in (lost, stopping, refused):
                task.cancel()
        log.info("node stopped", node=self._name)
        return status

    # -- starting, each part registered to be ended in reverse ------------------------------------------------

    async def _start(self, closing: AsyncExitStack) -> None:
        settings, roles = self.settings, self.settings.active_roles
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._name = node_id(settings.data_dir, settings.node_id)
        # Bound first: a port that is taken should be told before anything is started.
        public = bind(settings.server.host, settings.server.port, "server.port") if "gateway" in roles else None
        admin = bind(settings.server.admin.host, settings.server.admin.port, "server.admin.port")
        url = await self._redis_url(closing)
        self.stores = stores = await closing.enter_async_context(
            stores_at(settings, url, group=self.plan.group, master=self.plan.master)
        )
        measures = Measures(stores, self.registry)
        self.health = Health(
            lambda: self._front.place(away=self._membership.away > 0) if self._front else "queue",
            lambda: details(measures, self._name, self._engine.pid if self._engine else None),
        )
        clear_after_backups(settings.data_dir)
        stores.keyring.files.clear_drafts()
        self._upkeep = upkeep_of(stores)
        self._membership = Membership(stores.link, stores.keys, self._name, self._boot, self._says)
        self._admission = await closing.enter_async_context(joined(stores, self._membership, clock=self._clock))
        self._task(closing, self._upkeep.run(), "keys")
        self._task(closing, shredded_rows_of(stores).run(), "shredded rows")
        await stores.keyring.preload(self.registry.bots)
        self.registry.subscribe(self._bots_changed)
        self._task(closing, FileWatch(self.plan.root, self.registry.stamps, self._changed).run(), "watch")
        self._task(closing, self._hear_changes(), "changes")
        if "archiver" in roles:
            measures.archiver = await closing.enter_async_context(open_archive(stores, self.registry, self._name))
        sender = await closing.enter_async_context(open_sender(stores))
        if "channel" in roles:
            await closing.enter_async_context(open_outgoing(stores, self.registry, sender, self._name, self._boot))
        if "scheduler" in roles:
            firing = Firing(stores.timetable, stores.mailbox, stores.keyring, self.registry)
            self._task(closing, firing.run(), "schedules")
        if self._workers is not None:
            self._lanes = await closing.enter_async_context(
                open_lanes(stores, self.registry, self._workers, f"{self._name}:{self._boot}")
            )
            if self.plan.watch_code:
                directories = handler_directories(self.plan.bots_dir)
                code = FileWatch(directories[0], lambda: code_stamp(directories), self._code_changed)
                self._task(closing, code.run(), "watch code")
        takeover = Takeover(stores.leases, self.registry, f"{self._name}:{self._boot}")
        self._task(closing, takeover.run(), "takeover")
        if public is not None:
            self._front = await closing.enter_async_context(open_front(stores, self.registry, self.health))
            measures.front = self._front
            self.public = public.getsockname()[:2]
            await closing.enter_async_context(serving(self._front.app, public, protocol=OneWriteProtocol))
        measures.lanes = self._lanes
        self._alerts = await closing.enter_async_context(
            open_alerts(stores, measures, self._membership, sender, f"{self._name}:{self._boot}")
        )
        await closing.enter_async_context(open_reporting(measures, self._alerts))
        self.token = admin_token(settings.data_dir, _secret(settings))
        self.admin = admin.getsockname()[:2]
        back = await closing.enter_async_context(
            open_back(
                stores,
                measures,
                self._membership,
                self.health,
                self._alerts,
                sender,
                plan=self.plan,
                token=self.token,
            )
        )
        await closing.enter_async_context(serving(self.plan.wrap_admin(back) if self.plan.wrap_admin else back, admin))
        # Last: what keeps things on this node's disk is told too.
        self._task(closing, stores.shreds.run(), "shreds")

    async def _redis_url(self, closing: AsyncExitStack) -> str:
        url = self.settings.redis.url
        if url != "embedded":
            return url
        self._engine = EmbeddedEngine(self.settings.data_dir, self.settings.redis.fsync)
        closing.push_async_callback(self._engine.stop)
        return await self._engine.start()

    def _task(self, closing: AsyncExitStack, work: Any, name: str) -> None:
        closing.push_async_callback(ended, asyncio.create_task(work, name=name))

    def _says(self) -> Mapping[str, str]:
        return {
            "roles": ",".join(sorted(self.settings.active_roles)),
            "bots": str(len(self.registry.bots)),
            "state": self.health.ready()[1]["status"],
            **self._upkeep.says,
            "group": self.plan.group,
            **(self._alerts.said if self._alerts else {}),
        }

    # -- changes ------------------------------------------------------------------------------------------------

    async def _changed(self) -> None:
        await self.registry.reload(everything=False)
        if self._lanes is not None:
            self._lanes.look()

    async def _code_changed(self) -> None:
        # The watch calls at its start too: that code is what the workers have just read.
        if self._code_seen and self._lanes is not None:
            log.info("handlers are read anew")
            self._lanes.renew()
        self._code_seen = True

    def _bots_changed(self, bots: frozenset[str]) -> None:
        new = [bot for bot in bots if bot in self.registry.bots]
        started(self.stores.keyring.preload(new), self._preloads)

    async def _hear_changes(self) -> None:
        """Reload on every node: `bots reload` on any node reads directories and handlers again on all."""
        async with aclosing(heard(self.stores.link, self.stores.keys.changes, patience=30.0)) as changes:
            async for said in changes:
                if said is not None:
                    await self.registry.reload()
                    if self._lanes is not None:
                        self._lanes.renew()

    async def _refused(self) -> None:
        """Raise StartError where the cluster refuses a node that began while Redis was away."""
        await self._admission
        await asyncio.Event().wait()

    async def _lost_nursery(self) -> None:
        if self._lanes is None:
            await asyncio.Event().wait()
        else:
            await self._lanes.lost_nursery.wait()
            log.error("the node cannot run handlers any more and ends, to be started anew")


def _secret(settings: Settings) -> str | None:
    return settings.admin_token.get_secret_value() if settings.admin_token else None
