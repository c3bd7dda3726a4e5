"""Alerts as the API, the command line and the dashboard show them: plain documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.control.alerts.book import Standing
from app.control.alerts.past import Past
from app.control.alerts.states import Alert
from app.core.alert_rules import Rule, value_text


def alerts_shown(standing: Standing, rules: Mapping[str, Rule], now: float) -> list[dict[str, Any]]:
    """The alerts of now, firing ones first, the worst above; `now` in seconds since the epoch."""

    def place(alert: Alert) -> tuple[bool, bool, float]:
        return alert.state != "firing", alert.severity != "critical", -alert.since

    return [
        {
            **_about(alert, rules),
            "state": alert.state,
            "since": alert.since,
            "fired": alert.fired,
            "told": alert.told,
            "silenced_until": max(
                (one.until for one in standing.silences if one.covers(alert.rule, alert.subject, now)), default=None
            ),
        }
        for alert in sorted(standing.alerts.values(), key=place)
    ]


def past_shown(entries: Iterable[tuple[str, Past]], rules: Mapping[str, Rule]) -> list[dict[str, Any]]:
    """The history's entries."""
    return [
        {
            "id": entry,
            "at": past.at,
            "what": past.what,
            **_about(past.alert, rules),
            "since": past.alert.since,
            "fired": past.alert.fired,
        }
        for entry, past in entries
    ]


def _about(alert: Alert, rules: Mapping[str, Rule]) -> dict[str, Any]:
    rule = rules.get(alert.rule)
    signal = rule.conditions[0].signal if rule else None
    return {
        "name": alert.rule,
        "subject": alert.subject,
        "of": signal.of if signal else "",
        "severity": alert.severity,
        "value": alert.value,
        "value_text": value_text(alert.value, signal.unit) if signal else f"{alert.value:g}",
        "summary": rule.en if rule else alert.rule,
        "summary_zh": rule.zh if rule else alert.rule,
        "signal": signal.name if signal else "",
    }
