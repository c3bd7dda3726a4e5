"""The states of an alert from one evaluation to the next (pending, firing, resolved), and when to send news."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import orjson

from app.core.alert_rules import Rule, Severity

State = Literal["pending", "firing"]
News = Literal["firing", "still", "resolved"]

_SEPARATOR: Final = "/"


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule that holds for one subject (a bot, a node …); times in seconds since the epoch."""

    rule: str
    subject: str
    severity: Severity
    state: State
    value: float
    """The rule's first signal, when the rule last held."""
    since: float
    """When the condition began to hold."""
    fired: float | None = None
    clear: float | None = None
    """Since when the condition no longer holds."""
    told: float | None = None
    """When it was last handed over to be sent; None: never."""

    @property
    def key(self) -> str:
        """Its key: there is one alert for each rule and subject."""
        return f"{self.rule}{_SEPARATOR}{self.subject}"

    def packed(self) -> bytes:
        """The stored form; equal alerts are equal bytes."""
        return orjson.dumps(asdict(self))

    @classmethod
    def unpacked(cls, packed: bytes) -> Alert:
        """The reverse; ignores keys of a later version."""
        found: dict[str, Any] = orjson.loads(packed)
        return cls(**{name: value for name, value in found.items() if name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient alerts are, in seconds: `settle` before one ends, `repeat` before it is sent again."""

    settle: float = 60.0
    repeat: float = 3600.0


@dataclass(frozen=True, slots=True)
class Step:
    """An alert after an evaluation (None: it is gone), and what news to send."""

    alert: Alert | None
    news: Literal["firing", "still"] | None = None
    """The news to send about `alert`."""
    over: bool = False
    """Whether a firing alert has ended."""


def step(
    rule: Rule, before: Alert | None, subject: str, value: float | None, now: float, timing: Timing, *, silenced: bool
) -> Step:
    """The next state; `value` is None if the rule's conditions do not hold for the subject."""
    if value is None:
        return _without(before, now, timing)
    if before is None:
        before = Alert(rule.name, subject, rule.severity, "pending", value, now)
    alert = replace(before, value=value, clear=None, severity=rule.severity)
    if alert.state == "pending":
        if now - alert.since < rule.hold:
            return Step(alert)
        alert = replace(alert, state="firing", fired=now)
    if silenced or (alert.told is not None and now - alert.told < timing.repeat):
        return Step(alert)
    return Step(replace(alert, told=now), "firing" if alert.told is None else "still")


def _without(before: Alert | None, now: float, timing: Timing) -> Step:
    if before is None or before.state == "pending":
        return Step(None)
    since = before.clear if before.clear is not None else now
    if now - since < timing.settle:
        return Step(replace(before, clear=since))
    return Step(None, over=True)
