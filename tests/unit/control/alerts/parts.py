"""Clocks, channels and rules for the tests of alerts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from app.control.alerts.notice import Notice
from app.core.alert_rules import Rule, parse_when
from app.core.errors import HubError

START = 1_700_000_000.0


class HandClock:
    """Time that passes when the test says so; sleeping takes as long and lets others go on."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return START + self.passed

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += max(0.0, seconds)
        await asyncio.sleep(0)


@dataclass
class Wire:
    """A channel that keeps what it is given; it refuses as often as it is told."""

    name: str
    standby: bool = False
    refusals: float = 0
    retryable: bool = True
    tries: int = 0
    got: list[Notice] = field(default_factory=list)

    async def send(self, notice: Notice) -> None:
        self.tries += 1
        if self.refusals > 0:
            self.refusals -= 1
            raise HubError(f"{self.name} is down", retryable=self.retryable)
        self.got.append(notice)

    def news(self) -> list[tuple[str, str]]:
        """What it was told, in order: news and alert."""
        return [(item.news, item.alert.key) for notice in self.got for item in notice.items]


def rule(
    name: str = "QueueLong", when: str = "queue_waiting > 100", hold: float = 0.0, **more: tuple[str, ...]
) -> Rule:
    """A rule of one's own."""
    return Rule(name, parse_when(when), hold, "warning", name, name, **more)
