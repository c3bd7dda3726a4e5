"""docs/alerts.md is true: its rules and signals are the code's, its examples are good configuration."""

from __future__ import annotations

import apprise
import pytest
import yaml

from app.core.alert_rules import DEFAULT_RULES, SIGNALS, Rule, value_text
from app.core.alert_settings import AlertSettings, ChannelSettings
from app.core.values import span_text
from tests.unit.docs.page import Page

PAGE = Page("docs/alerts.md")


def _table(head: str) -> list[list[str]]:
    [table] = [table for table in PAGE.tables if table[0][0] == head]
    return table[1:]


def _when(rule: Rule) -> str:
    return " and ".join(
        f"{one.signal.name} {one.compare} {value_text(one.bound, one.signal.unit)}" for one in rule.conditions
    )


def test_rules_are_those_of_the_code() -> None:
    stands = [
        [f"`{rule.name}`", f"`{_when(rule)}`", span_text(rule.hold), rule.severity] for rule in DEFAULT_RULES.values()
    ]
    assert _table("rule") == stands


def test_signals_are_those_of_the_code() -> None:
    assert _table("signal") == [[f"`{one.name}`", one.of or "hub", one.en] for one in SIGNALS.values()]


def test_channels_are_those_of_the_code() -> None:
    named = {row[0].strip("`") for row in _table("key")}
    assert named <= ChannelSettings.model_fields.keys()
    assert len(named) == 4


@pytest.mark.parametrize("block", range(3))
def test_examples_are_good_configuration(block: int) -> None:
    found = yaml.safe_load(PAGE.blocks("yaml")[block])["alerts"]
    # Rules name channels of the example before.
    for name in ("group", "mail"):
        found.setdefault("channels", {}).setdefault(name, {"webhook": "https://example.com"})
        if "$" in str(found["channels"][name]):
            found["channels"][name] = {"webhook": "https://example.com"}
    assert AlertSettings.model_validate(found).effective()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("url", "plugin"),
    [
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "NotifySlack"),
        ("mailtos://user:password@smtp.example.com?from=hub@example.com&to=ops@example.com", "NotifyEmail"),
        ("dingtalk://SECRET@abcdef0123456789", "NotifyDingTalk"),
        ("wecombot://botkeybotkeybotkey", "NotifyWeComBot"),
        ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=botkeybotkeybotkey", "NotifyWeComBot"),
    ],
    ids=["slack", "email", "dingtalk", "wecom", "wecom-as-given"],
)
def test_apprise_knows_urls_of_these_forms(url: str, plugin: str) -> None:
    assert type(apprise.Apprise.instantiate(url)).__name__ == plugin
