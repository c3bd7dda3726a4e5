"""A worker process, built after its fork: its own connections, its own view of the bots, its own handlers."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from app.control.alerts.book import Book
from app.control.alerts.button import silence_button
from app.control.registry.modules import handler_directories
from app.control.registry.shelf import Shelf
from app.control.registry.snapshot import Registry
from app.core.ending import running
from app.core.redis_thread import connect_in_thread
from app.core.settings import Settings
from app.redis_stores import redis_stores_at
from app.sending import open_sender
from app.storage.master_key import MasterKey
from app.worker.dial import Dials
from app.worker.lane import Lane
from app.worker.parts import Parts
from app.worker.unseen import tell_of_unseen
from app.worker.worker import Worker

# Low enough a priority that bots that are kept apart, or run alone, take no time from the others.
_NICE: Final = 5
_LAST_STEPS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Birth:
    """What every worker process of a node knows from before the fork."""

    settings: Settings
    registry: Registry = field(repr=False)
    redis_url: str = field(repr=False)
    dials: Dials = field(repr=False)
    master: MasterKey
    bots_dir: Path | None = None
    group: str = ""


def worker_main(birth: Birth, lane: Lane) -> int:
    """What the nursery runs in each child; the exit status."""
    if lane.kind != "shared":
        os.nice(_NICE)
    # Not closed, since that would wait for bot code that swallows its cancellation; the process ends anyway.
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    status = runner.run(_work(birth, lane))
    runner.run(_end_the_rest())
    return status


async def _end_the_rest() -> None:
    """Let what bot code has started and left behind end in its own way, for a moment."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    rest.add(asyncio.create_task(asyncio.get_running_loop().shutdown_asyncgens()))
    await asyncio.wait(rest, timeout=_LAST_STEPS)


async def _work(birth: Birth, lane: Lane) -> int:
    tell_of_unseen(asyncio.get_running_loop())
    settings = birth.settings
    async with AsyncExitStack() as closing:
        stores = await closing.enter_async_context(
            redis_stores_at(settings, birth.redis_url, group=birth.group, master=birth.master)
        )
        registry = birth.registry
        registry.quiet = True
        registry.load(everything=False)
        sender = await closing.enter_async_context(open_sender(stores))
        await closing.enter_async_context(running(stores.shreds.run(), "shreds"))
        # An event that runs alone has its bot's code imported before it, and nobody else's.
        shelf = Shelf(
            registry,
            handler_directories(birth.bots_dir),
            at_once=lane.kind == "solo",
            note=partial(birth.dials.note_import, lane.slot),
        )
        worker = Worker(
            lane,
            Parts(
                link=stores.link,
                keys=stores.keys,
                mailbox=stores.mailbox,
                ledgers=stores.ledgers,
                outbox=stores.outbox,
                timetable=stores.timetable,
                calls=stores.calls,
                tasks=stores.tasks,
                cache=stores.cache,
                keyring=stores.keyring,
                sender=sender,
                catalog=registry,
                look=partial(registry.reload, everything=False),
                handlers=shelf,
                dials=birth.dials,
                open_heartbeat=partial(connect_in_thread, stores.redis_url),
                drain_timeout=settings.drain_timeout,
                own=silence_button(Book(stores.link, stores.keys), settings.alerts),
            ),
        )
        return await worker.run()
