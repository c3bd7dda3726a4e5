"""`alerts` in hub.yaml: rules over the built-in ones, rules of one's own, channels, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.alert_rules import DEFAULT_RULES, SIGNALS, parse_when, value_text
from app.core.alert_settings import AlertSettings
from app.core.errors import ConfigError
from app.core.settings import load_settings


def alerts(tmp_path: Path, text: str) -> AlertSettings:
    """The section, read from a file."""
    path = tmp_path / "hub.yaml"
    path.write_text("alerts:\n" + "\n".join(f"  {line}" for line in text.splitlines()))
    return load_settings(path, {"URL": "https://hooks.example/s3cret"}).alerts


def faults(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        alerts(tmp_path, text)
    return str(error.value)


def test_a_built_in_rule_is_changed_in_what_is_said_of_it_alone(tmp_path: Path) -> None:
    rules = alerts(tmp_path, "rules:\n  HighCPU: {when: cpu > 95%, for: 5m}").effective()
    built_in, changed = DEFAULT_RULES["HighCPU"], rules["HighCPU"]
    assert changed.conditions[0].bound == 0.95
    assert (changed.hold, changed.severity, changed.en) == (300.0, built_in.severity, built_in.en)
    assert {name: rule for name, rule in rules.items() if name != "HighCPU"} == {
        name: rule for name, rule in DEFAULT_RULES.items() if name != "HighCPU"
    }


@pytest.mark.parametrize("how", ["off", "{enabled: false}"])
def test_a_rule_is_switched_off(tmp_path: Path, how: str) -> None:
    rules = alerts(tmp_path, f"rules: {{HighCPU: {how}}}").effective()
    assert DEFAULT_RULES.keys() - rules.keys() == {"HighCPU"}


def test_a_rule_of_ones_own(tmp_path: Path) -> None:
    text = "rules:\n  Flood: {when: queue_waiting > 5 and errors_per_minute > 1, severity: critical, channels: ops}\n"
    rule = alerts(tmp_path, text + "channels: {ops: {webhook: '${URL}'}}").effective()["Flood"]
    assert [(one.signal.name, one.bound) for one in rule.conditions] == [("queue_waiting", 5), ("errors_per_minute", 1)]
    assert (rule.hold, rule.severity, rule.channels) == (60.0, "critical", ("ops",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: {HighCpu: {for: 1m}}", "rules.HighCpu is no built-in rule and lacks `when`"),
        ("rules: {Mine: {when: quue > 1}}", "unknown signal quue; known are limit_used"),
        ("rules: {Mine: {when: cpu >= 1}}", "expected `signal > bound`"),
        ("rules: {Mine: {when: cpu > many}}", "expected a share such as 80% or 0.8"),
        ("rules: {Mine: {when: queue_waiting > 80%}}", "expected a number"),
        ("rules: {Mine: {when: latency > soon}}", "expected a span"),
        ("rules: {Mine: {when: cpu > 1 and queue_waiting > 1}}", "one of each"),
        ("rules: {HighCPU: {channels: nowhere}}", "rules.HighCPU.channels names nowhere"),
        ("rules: {HighCPU: {fr: 1m}}", "unknown key; did you mean for? allowed here: enabled, when, for, severity"),
        ("channels: {ops: {}}", "name exactly one of feishu_hook, feishu_chat, webhook, apprise"),
        ("channels: {ops: {webhook: https://a, apprise: 'json://b'}}", "name exactly one of"),
        ("channels: {ops: {feishu_chat: oc_1}}", "feishu_chat and bot go together"),
        ("channels: {ops: {webhook: https://a, bot: b}}", "feishu_chat and bot go together"),
        ("channels: {ops: {apprise: 'json://b', secret: s}}", "secret is for feishu_hook and webhook"),
        ("channels: {ops: {webhook: 'ftp://a'}}", "starts with https:// or http://"),
        ("channels: {'o/ps': {webhook: 'https://a'}}", "a name starts with a letter"),
    ],
    ids=lambda value: value if "{" in value else "",
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert said in faults(tmp_path, text)


def test_addresses_and_secrets_are_never_shown(tmp_path: Path) -> None:
    found = alerts(
        tmp_path,
        "channels:\n  a: {feishu_hook: '${URL}', secret: s3cret}\n  b: {apprise: 'mailto://u:s3cret@h'}\n"
        "  c: {webhook: '${URL}'}",
    )
    assert "s3cret" not in repr(found)
    assert "s3cret" not in faults(tmp_path, "channels: {a: {feishu_hook: s3cret}}")


def test_every_rule_is_about_known_signals_of_one_kind() -> None:
    used = {condition.signal.name for rule in DEFAULT_RULES.values() for condition in rule.conditions}
    assert used <= SIGNALS.keys()
    assert SIGNALS.keys() - used == set(), "a signal that no rule uses by itself"


@pytest.mark.parametrize(
    ("text", "bound"),
    [("cpu > 80%", 0.8), ("cpu > 0.8", 0.8), ("latency > 1000ms", 1.0), ("secret_expires < 14d", 1_209_600.0)],
)
def test_bounds_are_read_in_their_signals_unit(text: str, bound: float) -> None:
    [condition] = parse_when(text)
    assert condition.bound == bound
    assert condition.holds(bound + 1) != condition.holds(bound - 1)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.934, "share", "93.4%"),
        (12.0, "count", "12"),
        (5.99245, "count", "5.99"),
        (1234567.0, "count", "1234567"),
        (0.3, "seconds", "300ms"),
        (1.24, "seconds", "1.24s"),
        (93.4, "seconds", "93.4s"),
        (300.0, "seconds", "5m"),
        (86400.0 * 13.6, "seconds", "14d"),
    ],
)
def test_values_read_as_people_say_them(value: float, unit: str, text: str) -> None:
    assert value_text(value, unit) == text  # type: ignore[arg-type]
