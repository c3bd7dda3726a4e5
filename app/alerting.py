"""Builds a node's part in the alerts: its numbers, its lookout and, on a scheduler, the evaluation for the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

from app.channel.sender import Sender
from app.control.alerts.book import Book
from app.control.alerts.channels.build import channels_of
from app.control.alerts.evaluator import Evaluator
from app.control.alerts.expiry import Expiry
from app.control.alerts.figures import Figures
from app.control.alerts.lookout import Lookout
from app.control.alerts.notify import Notifier
from app.control.alerts.readings import gone, of_limits, of_nodes, of_quotas
from app.control.alerts.round import Readings
from app.control.alerts.states import Timing
from app.control.cluster.membership import Membership
from app.control.health.counted import Sums
from app.control.health.machine import Machine
from app.control.health.totals import of_gateway, slots_of
from app.control.health.vitals import Vitals
from app.core.clock import SYSTEM_CLOCK
from app.core.ending import running
from app.core.settings import Settings
from app.measures import Measures
from app.queue.depths import Depths
from app.wiring import Stores

# Seconds in which what is on its way when the node ends may still arrive.
_LAST_SENDS: Final = 2.0


@dataclass(slots=True)
class Alerting:
    """What other parts of the node see of its alerts."""

    book: Book
    notifier: Notifier
    evaluator: Evaluator
    membership: Membership
    lookout: Lookout
    vitals: Mapping[str, Any] = field(default_factory=dict)
    """The node's numbers, as they were taken last."""
    taken: float = 0.0
    """When that was (monotonic seconds)."""

    @property
    def said(self) -> dict[str, str]:
        """What the heartbeat adds."""
        if not self.vitals:
            return {}
        spooled = self.lookout.left_to_the_cluster(self.vitals["spool_events"], self.taken)
        return {"vitals": orjson.dumps({**self.vitals, "spool_events": spooled}).decode()}

    def figures(self) -> Figures:
        """The alerts' part of the metrics page."""
        said = self.vitals
        return Figures(
            cpu=said.get("cpu", 0.0),
            memory=said.get("memory", 0.0),
            redis_away=self.membership.away,
            faults=said.get("faults", {}),
            readings=self.evaluator.readings,
            alerts=tuple(self.evaluator.alerts),
        )


@asynccontextmanager
async def open_alerts(
    stores: Stores, measures: Measures, membership: Membership, sender: Sender, owner: str
) -> AsyncIterator[Alerting]:
    """The node's alerts, running; `owner` is node and boot."""
    settings = stores.settings
    alerts, catalog = settings.alerts, measures.registry
    async with AsyncExitStack() as closing:
        session = await closing.enter_async_context(aiohttp.ClientSession())
        book = Book(stores.link, stores.keys, history=alerts.history)
        notifier = Notifier(channels_of(alerts, sender, session, lambda: catalog.bots))
        # What a node finds wrong with itself it also sends itself, whoever evaluates.
        local = Notifier(notifier.channels, deliveries=notifier.deliveries)
        for sends in (notifier, local):
            closing.push_async_callback(sends.stop, _LAST_SENDS)
        rules = alerts.effective()
        timing = Timing(alerts.settle, alerts.repeat)
        node = owner.partition(":")[0]
        lookout = Lookout(
            node,
            book,
            local,
            rules,
            lambda: membership.away,
            lambda: measures.spooled,
            lambda: membership.heard,
            interval=alerts.interval,
            timing=timing,
        )
        evaluator = Evaluator(
            book,
            notifier,
            rules,
            _sources(stores, measures, membership),
            owner,
            interval=alerts.interval,
            timing=timing,
        )
        alerting = Alerting(book, notifier, evaluator, membership, lookout)
        beside = [(_keep_vitals(alerting, measures, settings), "vitals")]
        if alerts.enabled:
            beside.append((lookout.run(), "lookout"))
            if "scheduler" in settings.active_roles:
                beside.append((evaluator.run(), "alerts"))
        for work, name in beside:
            await closing.enter_async_context(running(work, name))
        yield alerting


async def _keep_vitals(alerting: Alerting, measures: Measures, settings: Settings) -> None:
    """Take the node's numbers again and again, in a thread: there may be many of them."""
    machine, vitals = Machine(), Vitals(settings.alerts.window)
    sums = Sums(measures.counted, slots_of)

    def numbers() -> Mapping[str, Any]:
        totals = sums.read()
        for slot, count in of_gateway(measures.gateway()).items():
            totals[slot] += count
        return vitals.take(SYSTEM_CLOCK.monotonic(), totals)

    while True:
        alerting.vitals = {
            **await asyncio.to_thread(numbers),
            "cpu": machine.cpu(),
            "memory": machine.memory(),
            "spool_events": measures.spooled,
            "database_away": measures.database_away,
            "faults": measures.faults(),
        }
        alerting.taken = SYSTEM_CLOCK.monotonic()
        await SYSTEM_CLOCK.sleep(settings.alerts.interval)


def _sources(stores: Stores, measures: Measures, membership: Membership) -> list[Any]:
    """What the evaluator reads, beside how the alerts' own channels do."""
    alerts, depths = stores.settings.alerts, Depths(stores.link, stores.keys)
    expiry = Expiry(alerts.certificates, alerts.secrets)

    async def nodes(now: float) -> Readings:
        found = await membership.nodes()
        for name in gone(found, now):
            await membership.forget(name)
        bots = {*measures.registry.statuses, *(node["group"] for node in found if node.get("group"))}
        return {**of_nodes(found, now), **await queues(bots, now)}

    async def queues(bots: set[str], now: float) -> Readings:
        found = await depths.read(bots)
        fresh = await depths.fresh([bot for bot, depth in found.items() if depth.dead], now - alerts.window)
        return {
            "queue_waiting": {bot: depth.waiting for bot, depth in found.items()},
            "dead_letters_per_minute": {bot: count * 60 / alerts.window for bot, count in fresh.items()},
        }

    async def limits(_now: float) -> Readings:
        return of_limits(await measures.usage.read())

    async def quotas(_now: float) -> Readings:
        return of_quotas(await measures.usage.quotas())

    return [nodes, limits, quotas, expiry.read]
