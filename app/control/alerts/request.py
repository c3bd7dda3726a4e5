"""What operators ask for: a silence, or a test of a channel."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from app.control.alerts.notice import Item, Notice
from app.control.alerts.silences import Silence
from app.control.alerts.states import Alert
from app.core.alert_rules import Rule
from app.core.errors import HubError

TEST_RULE = "Test"
"""The name of the alert that tries a channel."""


def silence_asked(rules: Mapping[str, Rule], name: str, subject: str, seconds: float, now: float, by: str) -> Silence:
    """A silence from `now` (seconds since the epoch) on; HubError if it would silence nothing."""
    if not any(fnmatchcase(rule, name) for rule in rules):
        raise HubError(f"name: there is no rule {name}; the rules are {', '.join(sorted(rules))}")
    if seconds <= 0:
        raise HubError("for: a silence has to last some time, such as 1h")
    return Silence(name, subject, now + seconds, by)


def trial(channel: str, now: float) -> Notice:
    """A message that tries a channel, and is no alert."""
    alert = Alert(TEST_RULE, f"of the channel {channel}", "warning", "firing", 0.0, now, now)
    return Notice.of(now, [Item("firing", alert)], [channel])
