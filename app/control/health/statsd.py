"""The numbers of the metrics page as statsd takes them: datagrams that are sent or lost, never waited for."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client.metrics_core import Metric

from app.core.logs import get_logger

# What passes every network unbroken: IPv6's least MTU, less its headers.
_DATAGRAM: Final = 1232
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")

log = get_logger(__name__)


class Statsd:
    """Reports to one server; counters as what came since the last report, gauges as they stand."""

    def __init__(self, host: str, port: int, prefix: str, *, tags: bool) -> None:
        """With `tags` labels are DogStatsD tags, without they are parts of the name, in the order of the page."""
        self._host = host
        self._port = port
        self._prefix = prefix
        self._tags = tags
        self._before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._away = False

    async def report(self, families: Iterable[Metric]) -> None:
        """Send all that changed; a server that is away costs nothing but the numbers."""
        lines = self.lines(families)
        try:
            loop = asyncio.get_running_loop()
            [(family, kind, proto, _, address), *_] = await loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_DGRAM
            )
            with socket.socket(family, kind, proto) as channel:
                channel.setblocking(False)
                for datagram in packed(lines):
                    channel.sendto(datagram, address)
            self._away = False
        except OSError as error:
            if not self._away:
                log.warning("statsd takes no numbers", host=self._host, error=str(error))
            self._away = True

    def lines(self, families: Iterable[Metric]) -> list[str]:
        """A line a number; of histograms how many and their sum, for statsd has no buckets."""
        found: list[str] = []
        for family in families:
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    continue
                if family.type == "gauge":
                    found.append(self._line(sample.name, sample.labels, sample.value, "g"))
                    continue
                key = sample.name, tuple(sorted(sample.labels.items()))
                grown = sample.value - self._before.get(key, 0.0)
                self._before[key] = sample.value
                if grown > 0:
                    found.append(self._line(sample.name, sample.labels, grown, "c"))
        return found

    def _line(self, name: str, labels: Mapping[str, str], value: float, kind: str) -> str:
        name = f"{self._prefix}{name.removeprefix('hub_').removesuffix('_total')}"
        if not self._tags:
            name = ".".join([name, *(_NO_NAME.sub("_", label) or "none" for label in labels.values())])
        tags = ",".join(f"{label}:{_NO_NAME.sub('_', one)}" for label, one in labels.items()) if self._tags else ""
        return f"{name}:{value:.10g}|{kind}{f'|#{tags}' if tags else ''}"


def packed(lines: Iterable[str]) -> list[bytes]:
    """Lines in as few datagrams as hold them."""
    datagrams: list[bytes] = []
    current = b""
    for line in lines:
        one = line.encode()
        if current and len(current) + 1 + len(one) > _DATAGRAM:
            datagrams.append(current)
            current = b""
        current = current + b"\n" + one if current else one
    return [*datagrams, current] if current else datagrams
