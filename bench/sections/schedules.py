"""What 10,000 schedules cost a node on which nothing is due."""

from __future__ import annotations

import asyncio
import time
from types import MappingProxyType
from typing import Any, Final, cast

import psutil

from app.control.scheduler.firing import Firing
from app.core.engine import EmbeddedEngine
from app.core.keys import Keys
from app.core.redis import connect
from app.model.catalog import Catalog
from app.model.schedule import Schedule
from app.queue.mailbox import Mailbox
from app.queue.timetable import Timetable
from app.storage.keyring import Keyring
from bench.plan import Plan
from bench.report import Row, row

_BOTS: Final = 100
_EACH: Final = 100


class _Bots:
    """The bots of a node, none of which is ever asked for."""

    bots: Any = MappingProxyType({f"bot{number}": None for number in range(_BOTS)})


def measure(plan: Plan) -> list[Row]:
    """CPU time of what fires, and of the engine for it, in a while in which nothing is due."""
    return asyncio.run(_measure(plan))


async def _measure(plan: Plan) -> list[Row]:
    engine = EmbeddedEngine(plan.scratch / "schedules", "everysec")
    link = await connect(await engine.start())
    keys = Keys()
    timetable = Timetable(link, keys)
    try:
        began = time.perf_counter()
        for bot in _Bots.bots:
            # Tomorrow's, each at a minute of its own.
            tomorrow = time.gmtime(time.time() + 86_400)
            plans = [
                Schedule(f"s{n}", f"{n % 60} {n % 24} {tomorrow.tm_mday} {tomorrow.tm_mon} *", "UTC")
                for n in range(_EACH)
            ]
            await timetable.plan(bot, plans)
        declared = time.perf_counter() - began
        firing = Firing(timetable, Mailbox(link, keys), cast(Keyring, None), cast(Catalog, _Bots()))
        assert engine.pid is not None
        server = psutil.Process(engine.pid)
        running = asyncio.create_task(firing.run())
        await asyncio.sleep(1)
        shares, engines = [], []
        for _ in range(plan.rounds):
            span, own, served = time.perf_counter(), time.process_time(), sum(server.cpu_times()[:2])
            await asyncio.sleep(plan.pick(5, 20))
            span = (time.perf_counter() - span) / 100
            shares.append((time.process_time() - own) / span)
            engines.append((sum(server.cpu_times()[:2]) - served) / span)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [
            row("schedules", "10,000 of 100 bots, idle node", "% of a core", shares, at_most=1),
            row("schedules", "the engine meanwhile", "% of a core", engines),
            row("schedules", "to declare them", "s", [declared], note="once, when a bot is first seen or changed"),
        ]
    finally:
        await link.close()
        await engine.stop()
