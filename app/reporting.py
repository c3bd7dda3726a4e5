"""Builds the reports that a node sends by itself: to a statsd server, if one is configured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.alerting import Alerting
from app.control.health.counted import Sums
from app.control.health.counted_page import Merged
from app.control.health.exporter import families
from app.control.health.statsd import Statsd, series_of
from app.core.clock import SYSTEM_CLOCK
from app.core.ending import running
from app.measures import Measures


@asynccontextmanager
async def open_reporting(measures: Measures, alerting: Alerting) -> AsyncIterator[None]:
    """The reports, running."""
    settings = measures.stores.settings.metrics.statsd
    if settings.host is None:
        yield
        return
    statsd = Statsd(settings.host, settings.port, settings.prefix, tags=settings.tags)
    sums = Sums(measures.counted, series_of)

    async def report() -> None:
        while True:
            await SYSTEM_CLOCK.sleep(settings.interval)
            gauges, limits = await measures.gauges(), await measures.limits()
            others = (alerting.figures(), limits, Merged(measures.counted.others()))
            found = await asyncio.to_thread(list, families(gauges, measures.gateway(), *others))
            await statsd.report(found, await asyncio.to_thread(sums.read))

    async with running(report(), "statsd"):
        yield
