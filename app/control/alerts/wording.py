"""Alerts in words, English or Chinese or both: a title, and a line for each alert."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from app.control.alerts.notice import Item, Notice
from app.control.alerts.states import News
from app.core.alert_rules import Condition, Rule, value_text

Language = Literal["both", "en", "zh"]

# Nobody reads more lines, and a storm has more.
MOST_LINES: Final = 20

_NEWS: Final[Mapping[News, tuple[str, str]]] = {
    "firing": ("firing", "触发"),
    "still": ("still firing", "持续"),
    "resolved": ("resolved", "已恢复"),
}
_OVER: Final = {">": ("over", "超过"), "<": ("under", "低于")}


class Wording:
    """Words alerts in the configured language; `rules` are those in force."""

    def __init__(self, rules: Mapping[str, Rule], language: Language, link: str | None = None) -> None:
        """`link` is where operators reach the admin listener."""
        self._rules = rules
        self._language = language
        self.dashboard = f"{link}/dashboard/#alerts" if link else None
        """Where alerts can be seen and silenced."""

    def title(self, notice: Notice) -> str:
        """The whole notice in one line."""
        names = list(dict.fromkeys(item.alert.rule for item in notice.items))
        news: tuple[News, ...] = ("firing", "still", "resolved")
        parts = [
            f"{self.said(*_NEWS[one])}{f' {count}' if count > 1 else ''}"
            for one in news
            if (count := sum(item.news == one for item in notice.items))
        ]
        what = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        return f"Feishu Hub: {what} {', '.join(parts)}"

    def lines(self, notice: Notice) -> list[str]:
        """A line for each alert; in a storm only the first, and how many there are."""
        said = [self.line(item) for item in notice.items[:MOST_LINES]]
        more = len(notice.items) - MOST_LINES
        return [*said, self.said(f"and {more} more", f"另有 {more} 条")] if more > 0 else said

    def line(self, item: Item) -> str:
        """One alert: what it is, about what, how much, since when."""
        alert = item.alert
        rule = self._rules.get(alert.rule)
        about = f"{alert.rule} {alert.subject}".strip()
        since = datetime.fromtimestamp(alert.fired or alert.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if rule is None:
            return f"{about} ({self.said(*_NEWS[item.news])}, {since})"
        first = rule.conditions[0]
        value = value_text(alert.value, first.signal.unit)
        en = f"{rule.en}: {first.signal.en} {value} ({_bound(first, 0)})"
        zh = f"{rule.zh}：{first.signal.zh} {value}（{_bound(first, 1)}）"
        if item.news == "resolved":
            en, zh = f"{rule.en}: resolved", f"{rule.zh}：已恢复"
        return f"{about}: {self.said(en, zh)}, {self.said('since', '始于')} {since}"

    def said(self, en: str, zh: str) -> str:
        """One of the two, or both."""
        return {"en": en, "zh": zh, "both": f"{en} / {zh}"}[self._language]


def _bound(condition: Condition, language: int) -> str:
    return f"{_OVER[condition.compare][language]} {value_text(condition.bound, condition.signal.unit)}"
