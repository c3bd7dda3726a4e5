"""One evaluation of all rules, without any I/O: from the measurements and the alerts before to those after."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from app.control.alerts.notice import Item
from app.control.alerts.past import Past
from app.control.alerts.silences import Silence
from app.control.alerts.states import Alert, Timing, step
from app.core.alert_rules import Rule

Readings = Mapping[str, Mapping[str, float]]
"""Measurements by signal and subject. A signal that could not be read is absent, and changes nothing."""


@dataclass(slots=True)
class Round:
    """What an evaluation found."""

    after: dict[str, Alert] = field(default_factory=dict)
    """The alerts of now, by key."""
    items: list[Item] = field(default_factory=list)
    """The news to be sent."""
    past: list[Past] = field(default_factory=list)
    """The history's new entries: what fired, and what ended."""


def evaluate(
    rules: Mapping[str, Rule],
    readings: Readings,
    before: Mapping[str, Alert],
    silences: Collection[Silence],
    now: float,
    timing: Timing,
) -> Round:
    """Take every alert one step further; `now` in seconds since the epoch."""
    found = Round()
    known: dict[str, dict[str, Alert]] = {name: {} for name in rules} | _by_rule(before)
    for name, alerts in known.items():
        rule = rules.get(name)
        if rule is None:  # removed from the configuration
            for alert in alerts.values():
                _end(found, alert, now)
            continue
        if any(condition.signal.name not in readings for condition in rule.conditions):
            found.after.update({alert.key: alert for alert in alerts.values()})
            continue
        values = _holding(rule, readings)
        for subject in values.keys() | alerts.keys():
            was = alerts.get(subject)
            silenced = any(silence.covers(name, subject, now) for silence in silences)
            taken = step(rule, was, subject, values.get(subject), now, timing, silenced=silenced)
            if (is_now := taken.alert) is not None:
                found.after[is_now.key] = is_now
                if is_now.state == "firing" and (was is None or was.state == "pending"):
                    found.past.append(Past("fired", now, is_now))
                if taken.news is not None:
                    found.items.append(Item(taken.news, is_now))
            elif taken.over and was is not None:
                _end(found, was, now)
    return found


def _by_rule(alerts: Mapping[str, Alert]) -> dict[str, dict[str, Alert]]:
    found: dict[str, dict[str, Alert]] = {}
    for alert in alerts.values():
        found.setdefault(alert.rule, {})[alert.subject] = alert
    return found


def _holding(rule: Rule, readings: Readings) -> dict[str, float]:
    """The subjects for which every condition holds, with the value of the first."""
    first, *others = rule.conditions
    return {
        subject: value
        for subject, value in readings[first.signal.name].items()
        if first.holds(value)
        and all(
            (other := readings[condition.signal.name].get(subject)) is not None and condition.holds(other)
            for condition in others
        )
    }


def _end(found: Round, alert: Alert, now: float) -> None:
    if alert.state != "firing":
        return
    found.past.append(Past("resolved", now, alert))
    # Whoever heard that it began shall hear that it ended, even if it was silenced meanwhile.
    if alert.told is not None:
        found.items.append(Item("resolved", alert))
