"""A node's process from its first line: the nursery is forked while there is one thread, then the loop begins."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from app.control.registry.snapshot import Registry
from app.core.engine_socket import socket_url
from app.core.heap import grow, settle
from app.core.logs import get_logger
from app.core.settings import Settings
from app.model.bot import Credentials
from app.plan import Plan, Workers
from app.redis_stores import master_of
from app.worker.dial import Dials
from app.worker.nursery import Nursery
from app.worker_process import Birth, worker_main

log = get_logger(__name__)


def run_node(
    settings: Settings,
    root: Path,
    bots: Path | None,
    warnings: Sequence[str],
    *,
    credentials: Callable[[str], Credentials | None] | None = None,
    **more: Any,
) -> int:
    """Run a node until it is told to stop; its exit status. `credentials` goes to the Registry, `more` to the Plan."""
    for warning in warnings:
        log.warning(warning)
    # Before the fork, so that a service which keeps the key is asked once a node.
    master = master_of(settings)
    registry = Registry(root, os.environ, credentials)
    registry.load()
    plan = Plan(settings, root, os.environ, master, registry, bots_dir=bots, **more)
    workers: Workers | None = None
    if "worker" in settings.active_roles:
        dials = Dials()
        embedded = settings.redis.url == "embedded"
        birth = Birth(
            settings=settings,
            registry=registry,
            redis_url=socket_url(settings.data_dir) if embedded else settings.redis.url,
            dials=dials,
            master=master,
            bots_dir=bots,
            group=plan.group,
        )
        # A collector that passes over shared pages writes to them, and so makes a copy of each.
        settle()
        workers = Workers(Nursery.start(partial(worker_main, birth)), dials)
        grow()
    # Imported after the fork: what only the node needs is no part of its children.
    from app.hub import Node

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Node(plan, workers).run())
