"""Sends the metrics page's numbers to statsd, in datagrams that may be lost and are never waited for."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import orjson
from prometheus_client.metrics_core import Metric

from app.core.logs import get_logger

# What passes every network unfragmented: IPv6's smallest MTU, less headers.
_DATAGRAM: Final = 1232
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")

Labels: TypeAlias = tuple[tuple[str, str], ...]
Series: TypeAlias = tuple[str, Labels]
"""A number that only grows, by name and labels."""

log = get_logger(__name__)


class Statsd:
    """Reports to one server: counters by what was added since the last report, gauges as they are."""

    def __init__(self, host: str, port: int, prefix: str, *, tags: bool) -> None:
        """With `tags`, labels become DogStatsD tags; without, parts of the name, in the order of the page."""
        self._host = host
        self._port = port
        self._prefix = prefix
        self._tags = tags
        self._before: dict[Series, float] = {}
        self._away = False

    async def report(self, families: Iterable[Metric], counted: Mapping[Series, float]) -> None:
        """Send all that changed; if the server is away, only the numbers are lost."""
        lines = self.lines(families, counted)
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

    def lines(self, families: Iterable[Metric], counted: Mapping[Series, float]) -> list[str]:
        """A line for each number; for histograms their count and sum, since statsd has no buckets."""
        found: list[str] = []
        counts = dict(counted)
        for family in families:
            for sample in family.samples:
                if family.type == "gauge":
                    found.append(self._line(sample.name, tuple(sample.labels.items()), sample.value, "g"))
                elif not sample.name.endswith("_bucket"):
                    counts[sample.name, tuple(sample.labels.items())] = sample.value
        for (name, labels), value in counts.items():
            if (grown := value - self._before.get((name, labels), 0.0)) > 0:
                found.append(self._line(name, labels, grown, "c"))
        self._before.update(counts)
        return found

    def _line(self, name: str, labels: Labels, value: float, kind: str) -> str:
        name = f"{self._prefix}{name.removeprefix('hub_').removesuffix('_total')}"
        if not self._tags:
            name = ".".join([name, *(_NO_NAME.sub("_", label) or "none" for _, label in labels)])
        tags = ",".join(f"{label}:{_NO_NAME.sub('_', one)}" for label, one in labels) if self._tags else ""
        return f"{name}:{value:.10g}|{kind}{f'|#{tags}' if tags else ''}"


def series_of(key: bytes) -> tuple[Series]:
    """The number that a counted entry adds to; all buckets of a histogram add to its count."""
    family, name, labels, _ = orjson.loads(key)
    if "le" in labels:
        name = f"{family}_count"
        del labels["le"]
    return ((name, tuple(labels.items())),)


def packed(lines: Iterable[str]) -> list[bytes]:
    """The lines in as few datagrams as possible."""
    datagrams: list[bytes] = []
    current = b""
    for line in lines:
        one = line.encode()
        if current and len(current) + 1 + len(one) > _DATAGRAM:
            datagrams.append(current)
            current = b""
        current = current + b"\n" + one if current else one
    return [*datagrams, current] if current else datagrams
