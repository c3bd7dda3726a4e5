"""A notice as a Feishu card: coloured by severity, with silence buttons if a click can reach the hub."""

from __future__ import annotations

from typing import Any, Final

from app.control.alerts.notice import Notice
from app.control.alerts.wording import Wording
from app.sdk.card import Card, Color
from app.sdk.content import plain

SILENCE_ACTION: Final = "hub.alerts.silence"
"""The action of the buttons, which the hub answers itself for every bot."""
SILENCE_FOR: Final = 3600.0
"""Seconds for which a click silences."""

# More rows of buttons would fill the card.
_MOST_BUTTONS: Final = 5


def card_of(notice: Notice, wording: Wording, *, buttons: bool) -> dict[str, Any]:
    """The card's JSON; a group's custom bot hears no clicks, so its card has a link at most."""
    card = Card.of(wording.title(notice), _color(notice))
    for line in wording.lines(notice):
        card = card.text(plain(line))
    if buttons:
        for alert in [item.alert for item in notice.items if item.news != "resolved"][:_MOST_BUTTONS]:
            about = f"{alert.rule} {alert.subject}".strip()
            value = {"rule": alert.rule, "subject": alert.subject}
            label = f"{wording.said('Silence 1 h', '静默 1 小时')}: {about}"
            card = card.button(label, action=SILENCE_ACTION, value=value)
    if wording.dashboard is not None:
        label = wording.said("Look and silence", "查看与静默")
        card = card.link(label, wording.dashboard)
    return card.to_dict()


def _color(notice: Notice) -> Color:
    burning = [item.alert.severity for item in notice.items if item.news != "resolved"]
    return "red" if "critical" in burning else "orange" if burning else "green"
