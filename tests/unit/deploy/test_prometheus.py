"""deploy/prometheus/rules.yml: sound by promtool, and in step with the hub's own rules and metrics."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.core.alert_rules import DEFAULT_RULES
from app.core.values import parse_span
from tests.servers import needed
from tests.unit.docs.page import Page

DIRECTORY = Path(__file__).parents[3] / "deploy" / "prometheus"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((DIRECTORY / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
}
TESTS: list[dict[str, Any]] = yaml.safe_load((DIRECTORY / "rules.test.yml").read_text())["tests"]


def promtool(*arguments: str) -> None:
    """Have it check."""
    done = subprocess.run([needed("promtool"), *arguments], capture_output=True, text=True, check=False, cwd=DIRECTORY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_the_rules_sound() -> None:
    promtool("check", "rules", "rules.yml")


def test_each_rule_passes_its_test() -> None:
    promtool("test", "rules", "rules.test.yml")


def test_each_rule_has_a_test_in_which_it_fires() -> None:
    fired = {
        case["alertname"]
        for test in TESTS
        for case in test.get("alert_rule_test", ())
        if test["name"] == case["alertname"] and case.get("exp_alerts")
    }
    assert fired == RULES.keys()


def test_rules_are_the_hubs_own() -> None:
    assert list(RULES) == list(DEFAULT_RULES)


@pytest.mark.parametrize("name", list(DEFAULT_RULES))
def test_bounds_waits_and_severities_are_the_hubs_own(name: str) -> None:
    rule, own = RULES[name], DEFAULT_RULES[name]
    bounds = [(compare, float(bound)) for compare, bound in re.findall(r"([<>]) ([\d.]+)", rule["expr"])]
    assert bounds == [(condition.compare, condition.bound) for condition in own.conditions]
    assert parse_span(rule.get("for", 0)) == own.hold
    assert rule["labels"]["severity"] == own.severity


def test_metrics_are_the_hubs_own() -> None:
    [table] = [table for table in Page("docs/operations.md").tables if table[0][0] == "metric"]
    known = {row[0].strip("`") for row in table[1:]}
    named = {name.removesuffix("_bucket") for rule in RULES.values() for name in re.findall(r"\bhub_\w+", rule["expr"])}
    assert named - known == set()
