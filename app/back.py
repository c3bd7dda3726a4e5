"""Builds the admin side of a node: API, metrics, health pages with details."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from app.alerting import Alerting
from app.channel.attach import Attachments
from app.channel.fetch import Fetcher
from app.channel.sender import Sender
from app.control.admin.accept import Acceptance
from app.control.admin.access import Access, Caller
from app.control.admin.alerts import alerts_router
from app.control.admin.api import admin_app
from app.control.admin.bots import bots_router
from app.control.admin.cache import cache_router
from app.control.admin.client import BehindProxies
from app.control.admin.dead import dead_router
from app.control.admin.followers import Followers
from app.control.admin.keys import keys_router
from app.control.admin.known import KnownBots
from app.control.admin.limits import limits_router
from app.control.admin.messages import messages_router
from app.control.admin.nodes import nodes_router
from app.control.admin.schedules import schedules_router
from app.control.admin.stored_messages import stored_messages_router
from app.control.admin.tasks import tasks_router
from app.control.cluster.membership import Membership
from app.control.health.counted_page import CountedPage
from app.control.health.exporter import CONTENT_TYPE, exposition
from app.control.health.status import Health
from app.control.registry.directories import hub_file
from app.control.registry.live_settings import LiveSettings
from app.control.scheduler.firing import Firing
from app.core.ending import running
from app.core.outage import guard
from app.core.settings import Settings
from app.dashboard import open_dashboard
from app.key_care import key_status
from app.measures import Measures
from app.plan import Plan
from app.queue.clearing import Clearing
from app.queue.tasks import TaskInfo, task_aad
from app.storage.cache_counts import cache_stats
from app.storage.traces import Traces
from app.wiring import Stores


@asynccontextmanager
async def open_back(
    stores: Stores,
    measures: Measures,
    membership: Membership,
    health: Health,
    alerting: Alerting,
    sender: Sender,
    *,
    plan: Plan,
    token: str,
) -> AsyncIterator[Any]:
    """The admin listener's ASGI app, with the tokens of programs as hub.yaml has them now."""
    counted = CountedPage(measures.counted)

    async def metrics() -> tuple[bytes, str]:
        gauges, limits = await measures.gauges(), await measures.limits()
        page = await asyncio.to_thread(exposition, gauges, measures.gateway(), counted, alerting.figures(), limits)
        return page, CONTENT_TYPE

    async def open_note(task: TaskInfo) -> str | None:
        return (await stores.keyring.open(task.bot, task.note, task_aad(task.id))).decode() if task.note else None

    async def reload(bot: str | None) -> None:
        with guard():
            await stores.link.commands.publish(stores.keys.changes, (bot or "reload").encode())

    settings = stores.settings
    attachments = Attachments(sender, Fetcher(settings.outbox.fetch_allow))
    acceptance = Acceptance(stores.outbox, measures.registry, attachments)
    registry = measures.registry
    followers = measures.followers = Followers(settings.server.admin.max_followers, lambda: health.draining)
    known = KnownBots(lambda: registry.statuses, Traces(stores.link, stores.keys, stores.messages).left_by)
    firing = Firing(stores.timetable, stores.mailbox, stores.keyring, registry)
    clearing = Clearing(stores.link, stores.keys, stores.mailbox, stores.outbox.queue, stores.letters)
    access = Access(token, _callers(settings))
    live = LiveSettings(hub_file(plan.root), plan.env, lambda now: access.let_in(_callers(now)))
    async with (
        running(live.run(), "settings"),
        open_dashboard(stores, measures, membership, alerting.book, token) as dashboard,
    ):
        app = admin_app(
            access=access,
            known=known,
            routers=[
                bots_router(measures, reload, clearing.clear),
                dead_router(stores.letters, stores.reveals),
                stored_messages_router(stores.messages, stores.reveals, stores.audit, known),
                nodes_router(membership.nodes),
                schedules_router(stores.timetable, firing, registry),
                tasks_router(stores.tasks, open_note, followers),
                limits_router(measures.usage),
                keys_router(partial(key_status, stores)),
                cache_router(partial(cache_stats, stores.link, stores.keys)),
                alerts_router(alerting.book, alerting.notifier, stores.settings.alerts.effective()),
            ],
            sending=[messages_router(stores.outbox.queue, acceptance, followers)],
            dashboard=dashboard,
            metrics=metrics,
            health=health,
            metrics_path=plan.metrics_path,
            health_path=plan.health_path,
        )
        yield BehindProxies(app, settings.security.trusted_proxies)


def _callers(settings: Settings) -> Sequence[Caller]:
    return [Caller(one.name, one.token.get_secret_value(), frozenset(one.bots)) for one in settings.api_tokens]


def details(measures: Measures, node: str, engine_pid: int | None) -> Mapping[str, Any]:
    """What `/health` adds for operators."""
    lanes, front, settings = measures.lanes, measures.front, measures.stores.settings
    return {
        "node": node,
        "region": settings.region,
        "roles": sorted(settings.active_roles),
        "engine": {"pid": engine_pid} if engine_pid else None,
        "workers": {str(pid): kind for pid, kind in lanes.pids.items()} if lanes else {},
        "quarantined": list(lanes.quarantined) if lanes else [],
        "spooled": front.spooled if front else 0,
        "database_away": round(measures.database_away, 1),
        "bots": {bot: measures.state(bot) for bot in measures.registry.statuses},
    }
